# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Predicted maps in memory: what methods learn from, and are compared on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from monai_coat.functional import foreground_sketch
from monai_coat.scorers.expected_gap import ExpectedGapScorer
from monai_coat.scorers.predictors.expected_gap import ExpectedGapPredictor
from monai_coat.scorers.predictors.map_summaries import MapSummaries

__all__ = ["PredictedMaps"]


@dataclass(frozen=True)
class PredictedMaps:
    """Images with foreground, their masks and maps.

    Attributes:
        ids: names.
        image: 8 bit, ``(N, 3, H, W)``.
        label: bool, ``(N, 1, H, W)``.
        probs: float32, ``(N, 1, H, W)``.
        groups: of each image the name of what it belongs to, such as its video; None if each stands alone.
    """

    ids: tuple[str, ...]
    image: Tensor
    label: Tensor
    probs: Tensor
    groups: tuple[str, ...] | None = field(default=None, kw_only=True)

    num_classes: ClassVar[int] = 1
    in_channels: ClassVar[int] = 3
    input_size: ClassVar[int | None] = None

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, index: Sequence[int]) -> PredictedMaps:
        """Some of the images."""
        chosen = list(index)
        ids, groups = (None if names is None else tuple(names[i] for i in chosen) for names in (self.ids, self.groups))
        return PredictedMaps(ids or (), self.image[chosen], self.label[chosen], self.probs[chosen], groups=groups)

    def joined(self, other: PredictedMaps) -> PredictedMaps:
        """These images, then the others."""
        pairs = ((self.image, other.image), (self.label, other.label), (self.probs, other.probs))
        groups = None if self.groups is None or other.groups is None else self.groups + other.groups
        return PredictedMaps(self.ids + other.ids, *(torch.cat(pair) for pair in pairs), groups=groups)

    @cached_property
    def summaries(self) -> Tensor:
        """Label-free summaries ``(N, features)``."""
        summarise = MapSummaries(1)
        return torch.cat([summarise(part) for part in self.probs.split(64)])

    def curves(self, predictor: ExpectedGapPredictor, alpha: float) -> tuple[Tensor, Tensor]:
        """Summaries and true curves, as :meth:`~monai_coat.scorers.ExpectedGapPredictor.fit_curves` takes them."""
        return predictor.summaries(self.probs), predictor.observe(self.probs, self.label, alpha)

    @cached_property
    def sketches(self) -> Tensor:
        """Foreground sketches ``(N, 1, 256)`` of the probabilities."""
        return foreground_sketch(self.probs, self.label, 256)

    @cached_property
    def observed(self) -> Tensor:
        """What :meth:`~monai_coat.scorers.ExpectedGapScorer.observe` says of the maps, ``(N, 1, 2, 320)``."""
        pairs = zip(self.probs.split(64), self.label.split(64), strict=True)
        return torch.cat([ExpectedGapScorer.observe(probs, label) for probs, label in pairs])
