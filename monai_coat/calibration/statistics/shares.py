# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Statistics of share risks: an image's risk is the share of its critical scores that are below the cutoff.

Tested by tests/calibration/statistics/test_shares.py.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.calibration.statistics.base import LARGEST, Solution, Statistic
from monai_coat.functional import float32_below, foreground_scores

__all__ = ["FALSE_NEGATIVES", "CriticalScores", "ShareRisk", "ShareStatistic", "just_above"]

CriticalScores = tuple[tuple[Tensor, ...], tuple[int, int]]
"""``B * C`` one-dimensional tensors, class fastest, and ``(B, C)``."""


class ShareRisk(Protocol):
    """What is asked of a risk here; see :meth:`~monai_coat.calibration.Risk.critical_scores`."""

    rises: ClassVar[bool]

    @property
    def key(self) -> str: ...

    def critical_scores(self, scores: Tensor, labels: Tensor) -> CriticalScores: ...


class _FalseNegatives:
    """The false negative rate, whose critical scores are those of the foreground."""

    rises: ClassVar[bool] = True
    key = "false_negative_rate"

    def critical_scores(self, scores: Tensor, labels: Tensor) -> CriticalScores:
        return foreground_scores(scores, labels)


FALSE_NEGATIVES: ShareRisk = _FalseNegatives()
"""What a statistic is of if nothing else is said."""


class ShareStatistic(Statistic):
    """A statistic that looks at critical scores alone, image by image.

    Of a risk that falls as the cutoff rises they are negative, and so is every cutoff inside.

    Attributes:
        risk: the risk that it is of.
    """

    risk: ShareRisk = FALSE_NEGATIVES

    @property
    def measures(self) -> str:
        """Key of the risk."""
        return self.risk.key

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add a batch of images; see :meth:`Statistic.update`."""
        with torch.no_grad():
            values, (batch, found) = self.risk.critical_scores(scores, labels)
        images = [self._rounded(value.detach().cpu()).numpy() for value in values]
        channels = scores.shape[1]
        self._open(channels)
        for place in range(batch * channels):
            # A joint risk has one list of scores, which stands for each class.
            self._add(place % channels, images[place * found // channels])

    def _rounded(self, values: Tensor) -> Tensor:
        """As float32, on the same side of every float32 cutoff."""
        return float32_below(values) if self.risk.rises else -float32_below(-values)

    def counted(self, scores: Tensor, labels: Tensor) -> list[bool]:
        """Which images of a batch count for any class."""
        values, (batch, channels) = self.risk.critical_scores(scores, labels)
        return [any(value.numel() for value in values[i * channels : (i + 1) * channels]) for i in range(batch)]

    def _outside(self, solution: Solution) -> Solution:
        """The solution with a cutoff for scores as they are."""
        return solution if self.risk.rises else replace(solution, cutoff=just_above(-solution.cutoff))

    def _inside(self, cutoff: float) -> np.float32:
        """A cutoff for critical scores: those below it are lost at the cutoff given."""
        if self.risk.rises:
            return np.float32(cutoff)
        return np.nextafter(np.float32(-cutoff), np.float32(np.inf))

    def _open(self, channels: int) -> None:
        """Make room for the classes of the first batch; refuse a later batch that has more or fewer."""
        if not self.n:
            self._make_classes(channels)
        if len(self.n) != channels:
            raise ValueError(
                f"scores must have the {len(self.n)} classes of the batches before, got {channels}; use one statistic "
                "per network."
            )

    @abstractmethod
    def _make_classes(self, channels: int) -> None: ...

    @abstractmethod
    def _add(self, index: int, image: NDArray[np.float32]) -> None:
        """Take one image's critical scores of one class; none if the image does not count."""


def just_above(score: float) -> float:
    """The smallest float32 above: a negative score is lost if it is below c, so the score itself is included."""
    if score == LARGEST:  # of a class without a promise
        return score
    return float(np.nextafter(np.float32(score), np.float32(np.inf)))
