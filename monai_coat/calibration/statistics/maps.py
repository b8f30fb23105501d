# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The statistic of any monotone risk: the maps themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.calibration.statistics.base import Budget, Solution, Statistic, check_same_kind
from monai_coat.functional import float32_below
from monai_coat.functional.foreground import at_least_float32, plain

__all__ = ["MapStatistic"]


class _Risk(Protocol):
    """What is asked of a risk here; see :class:`~monai_coat.calibration.Risk`."""

    rises: ClassVar[bool]
    joint: ClassVar[bool]

    @property
    def key(self) -> str: ...

    def image_risk(self, scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor: ...

    def check_labels(self, scores: Tensor, labels: Tensor) -> Tensor: ...


class MapStatistic(Statistic):
    """Score maps and masks of the calibration images, from which any monotone risk can be calibrated exactly.

    It holds everything and looks through all images some thirty times: for risks that have no smaller statistic, and
    to check those that have.

    Args:
        risk: the risk it is of.

    Example:
        >>> from monai_coat.calibration import FalseNegativeRate
        >>> statistic = MapStatistic(FalseNegativeRate())
        >>> statistic.update(torch.tensor([[[0.2, 0.7, 0.9]]]), torch.tensor([[[0, 1, 1]]]))
        >>> statistic.n, statistic.n_empty
        ((1,), (0,))
    """

    kind: ClassVar[str] = "maps"

    def __init__(self, risk: _Risk) -> None:
        self.risk = risk
        self._images: list[tuple[Tensor, Tensor]] = []

    @property
    def measures(self) -> str:
        """Key of the risk."""
        return self.risk.key

    @property
    def n(self) -> tuple[int, ...]:
        """Images that count, per class."""
        return self._counts(True)

    @property
    def n_empty(self) -> tuple[int, ...]:
        """Images left out, per class."""
        return self._counts(False)

    def _counts(self, counted: bool) -> tuple[int, ...]:
        if not self._images:
            return ()
        defined = [~torch.isnan(self._risks(image, 0.0)) for image in self._images]
        return tuple(torch.stack([row == counted for row in defined]).sum(0).tolist() * self._repeats)

    @property
    def _repeats(self) -> int:
        """How many classes share a cutoff."""
        return self._images[0][0].shape[1] if self.risk.joint else 1

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add a batch of images; see :meth:`Statistic.update`."""
        scores, labels = plain(scores.detach()), plain(labels)
        masks = self.risk.check_labels(scores, labels)
        maps = float32_below(scores)
        if self._images and self._images[0][0].shape[1] != maps.shape[1]:
            raise ValueError(
                f"scores must have the {self._images[0][0].shape[1]} classes of the batches before, got "
                f"{maps.shape[1]}; use one statistic per network."
            )
        # Copies: whoever made them may write to them again.
        maps, masks = at_least_float32(maps).cpu().clone(), masks.cpu().clone()
        self._images += [(maps[i : i + 1], masks[i : i + 1]) for i in range(len(maps))]

    def merge(self, other: MapStatistic) -> None:
        """Add all images of another statistic.

        Raises:
            TypeError: if the other is of another kind.
            ValueError: if it is of another risk or number of classes.
        """
        check_same_kind(self, other)
        for scores, labels in list(other._images):
            self.update(scores, labels)

    def solve(self, budget: Budget) -> tuple[Solution, ...]:
        """The cutoff of each class by bisection over all scores, judged by the risk's own definition."""
        counts = self.n[:: self._repeats]
        classes = [slice(None)] if self.risk.joint else [slice(k, k + 1) for k in range(len(counts))]
        solutions = [
            self._solution([(s[:, part], y[:, part]) for s, y in self._images], budget(n), n)
            for part, n in zip(classes, counts, strict=True)
        ]
        return tuple(solutions * self._repeats)

    def _solution(self, images: Sequence[tuple[Tensor, Tensor]], budget: Fraction, n: int) -> Solution:
        scores = np.unique(np.concatenate([image.numpy().ravel() for image, _ in images]))
        if not self.risk.rises:
            # Falling risks change just above a score, and are lowest where nothing is taken.
            scores = np.nextafter(np.concatenate([[-np.inf], scores]).astype(np.float32), np.float32(np.inf))[::-1]
        low, high = 0, len(scores)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._total(images, scores[middle]) <= budget else (low, middle)
        if self._total(images, scores[low]) > budget:
            raise ValueError(
                f"risk must be within the budget at the safest cutoff, {float(scores[low]):g}, got more; a risk that "
                "is not monotone, or never small enough, cannot be calibrated."
            )
        return Solution(float(scores[low]) + 0.0, float(self._total(images, scores[low]) / n))

    def _total(self, images: Sequence[tuple[Tensor, Tensor]], cutoff: np.float32) -> Fraction:
        """Sum of risks, as the ratios of whole numbers that they are."""
        total = Fraction(0)
        for image in images:
            for risk in self._risks(image, float(cutoff)).tolist():
                if not math.isnan(risk):
                    total += _as_ratio(risk, image[0].numel())
        return total

    def _risks(self, image: tuple[Tensor, Tensor], cutoff: float) -> Tensor:
        return self.risk.image_risk(*image, cutoff)[0]

    def risks_at(self, cutoffs: Sequence[float]) -> tuple[NDArray[np.float64], ...]:
        """The risk of each image that counts, per class, at a cutoff per class."""
        rows = np.array([self.risk.image_risk(*image, torch.tensor(cutoffs))[0].numpy() for image in self._images])
        return tuple(row[~np.isnan(row)] for row in rows.T) * self._repeats

    @property
    def images(self) -> Sequence[Mapping[int, NDArray[np.float32]]]:
        """Scores of each image's foreground, of all classes together."""
        return [{place: scores[labels == 1].numpy() for place, (scores, labels) in enumerate(self._images)}]

    def state_dict(self) -> dict[str, Any]:
        """The maps, image by image."""
        return {"scores": [scores for scores, _ in self._images], "labels": [labels for _, labels in self._images]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the contents by those of :meth:`state_dict`."""
        self._images = []
        for scores, labels in zip(state["scores"], state["labels"], strict=True):
            self.update(scores, labels)


def _as_ratio(risk: float, pixels: int) -> Fraction:
    """The ratio of numbers of pixels that a float stands for; of a risk that is none, not less than it is."""
    ratio = Fraction(risk).limit_denominator(pixels)
    rounding = Fraction(risk) / 2**24
    return ratio if abs(ratio - Fraction(risk)) <= rounding else Fraction(risk) + rounding
