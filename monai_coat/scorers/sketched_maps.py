# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A few hundred numbers of each image, from which thresholds are learned whatever the size of its map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import torch
from torch import Tensor

from monai_coat.functional import foreground_sketch, precision_curves
from monai_coat.functional.foreground import plain
from monai_coat.scorers.expected_gap import ExpectedGapScorer
from monai_coat.scorers.predictors.expected_gap import ExpectedGapPredictor
from monai_coat.scorers.predictors.map_summaries import MapSummaries

__all__ = ["NeedsMapsError", "SketchedMaps"]


class NeedsMapsError(ValueError):
    """A method asked sketches for whole maps."""


@dataclass(frozen=True)
class SketchedMaps:
    """Summaries of maps, sketches of their foreground and their precision: what most methods learn from.

    In place of :class:`~monai_coat.scorers.PredictedMaps`, for maps of several classes, of different sizes, and of
    volumes, of which one at a time is in memory.

    Attributes:
        summaries: label-free summaries ``(N, C * 30)``.
        sketches: foreground sketches ``(N, C, 512)``; NaN where an image lacks the class.
        precision: ``(N, C, steps)`` at the ladder of :class:`~monai_coat.scorers.ExpectedGapPredictor`.
        observed: what :meth:`~monai_coat.scorers.ExpectedGapScorer.observe` says, ``(N, C, 2, 320)``.
        groups: of each image the name of what it belongs to, such as its video; None if each stands alone.

    Example:
        >>> maps = [torch.rand(2, 8, 8), torch.rand(2, 9, 7)]
        >>> len(SketchedMaps.collect((probs, probs > 0.5) for probs in maps))
        2
    """

    summaries: Tensor
    sketches: Tensor
    precision: Tensor
    observed: Tensor
    groups: tuple[str, ...] | None = field(default=None, kw_only=True)

    @classmethod
    @torch.no_grad()
    def collect(cls, pairs: Iterable[tuple[Tensor, Tensor]], groups: Sequence[str] | None = None) -> SketchedMaps:
        """Of probability maps and masks ``(C, *spatial)``, one image at a time.

        Raises:
            ValueError: if there is no image, or maps and masks are not of one shape and of values that they can have,
                or there are not as many groups' names as images.
        """
        rows: list[tuple[Tensor, ...]] = []
        steps, summarise = torch.sigmoid(ExpectedGapPredictor(members=2, width=1).ladder), MapSummaries(1)
        for probs, masks in pairs:
            maps, labels = plain(torch.as_tensor(probs)).float(), plain(torch.as_tensor(masks))
            # Class by class: the steps on the way take several times the memory of a map.
            parts = [(maps[None, k : k + 1], labels[None, k : k + 1]) for k in range(maps.shape[0])]
            summaries = torch.cat([summarise(p) for p, _ in parts], 1)
            sketches = torch.cat([foreground_sketch(p, y) for p, y in parts], 1)
            precision = torch.cat([precision_curves(p, y, steps) for p, y in parts], 1)
            observed = torch.cat([ExpectedGapScorer.observe(p, y) for p, y in parts], 1)
            rows.append((summaries, sketches, precision, observed))
        if not rows:
            raise ValueError("pairs must hold at least one image to learn from, got none.")
        if groups is not None and len(groups) != len(rows):
            raise ValueError(f"groups must name one for each of {len(rows)} images, got {len(groups)}; name them all.")
        columns = [torch.cat(column) for column in zip(*rows, strict=True)]
        return cls(*columns, groups=None if groups is None else tuple(groups))

    def __len__(self) -> int:
        return len(self.summaries)

    def rows(self, index: Sequence[int]) -> SketchedMaps:
        """Some of the images."""
        chosen = list(index)
        columns = (self.summaries, self.sketches, self.precision, self.observed)
        groups = None if self.groups is None else tuple(self.groups[i] for i in chosen)
        return SketchedMaps(*(column[chosen] for column in columns), groups=groups)

    def of_class(self, index: int) -> SketchedMaps:
        """One of the classes, of all images."""
        width, place = MapSummaries.per_class, slice(index, index + 1)
        summaries = self.summaries[:, index * width : (index + 1) * width]
        parts = (self.sketches, self.precision, self.observed)
        return SketchedMaps(summaries, *(part[:, place] for part in parts), groups=self.groups)

    @property
    def num_classes(self) -> int:
        """C."""
        return int(self.sketches.shape[1])

    @property
    def in_channels(self) -> int:
        """Channels of the images: where there are none, the maps stand for them."""
        return self.num_classes

    @property
    def input_size(self) -> int:
        """Size at which predictors read maps: that of the map."""
        return 0

    def curves(self, predictor: ExpectedGapPredictor, alpha: float) -> tuple[Tensor, Tensor]:
        """Summaries and true curves, as :meth:`~monai_coat.scorers.ExpectedGapPredictor.fit_curves` takes them."""
        return self.summaries, predictor.observe_sketches(self.sketches, self.precision, alpha)

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("probs", "label", "image"):
            raise NeedsMapsError(
                "method must be one that learns from summaries, such as meg, coat, at or aa_crc, got one that learns "
                f"from whole maps ({name!r}); choose another."
            )
        raise AttributeError(name)
