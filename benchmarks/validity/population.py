# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A population of images of two classes whose mean risk at any cutoff is a sum that can be computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.calibration import (
    Exceeds,
    FalseAlarm,
    FalseNegativeRate,
    FalsePositiveRatio,
    LesionsMissed,
    MarkedShare,
    Risk,
    VolumeOverestimated,
    VolumeUnderestimated,
    WorstClassFalseNegativeRate,
)

CLASSES, IMAGES, FOREGROUND, BACKGROUND, LEVELS, PRESENT = 2, 60, 20, 60, 200, 0.9
SPREAD, DARK = 0.5, 0.3
TOLERANCE = 0.2  # share of the foreground above which an image has gone wrong
Array = NDArray[np.float64]


class Population:
    """Images with a log-normal hardness h, in which scores are rounded down to multiples of 1 / 200.

    Of each class that is present, 20 foreground pixels have scores U ** h and 60 of the background 1 - U ** (0.3 / h),
    U uniform and independent given h. Classes are present independently of each other.

    Args:
        present: probability that a class is.
    """

    def __init__(self, present: float = PRESENT) -> None:
        self.present = present

    def batch(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Scores and labels ``(count, classes, pixels)``; foreground comes first."""
        hardness = np.exp(SPREAD * rng.standard_normal((count, 1, 1)))
        inside = rng.random((count, CLASSES, FOREGROUND)) ** hardness
        outside = 1 - rng.random((count, CLASSES, BACKGROUND)) ** (DARK / hardness)
        steps = np.floor(np.concatenate([inside, outside], axis=2) * LEVELS)
        scores = np.minimum(steps, LEVELS - 1) / LEVELS  # what is nearly 1 may have been rounded to it
        labels = np.zeros(scores.shape, bool)
        labels[..., :FOREGROUND] = rng.random((count, CLASSES, 1)) < self.present
        return torch.from_numpy(scores.astype(np.float32)), torch.from_numpy(labels)

    @cached_property
    def _hardness(self) -> tuple[Array, Array]:
        """Nodes and weights for means over hardness."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        return np.exp(SPREAD * nodes), weights / weights.sum()

    def risk(self, risk: Risk, cutoff: float) -> float:
        """The mean of a risk of :data:`KNOWN` over images that count, at a cutoff."""
        # What reaches the cutoff is what reaches the lowest value of the grid that is not below it, as float32.
        grid = (np.arange(LEVELS + 1) / LEVELS).astype(np.float32)
        return KNOWN[risk](self, int(np.searchsorted(grid, np.float32(cutoff))))

    def _missed(self, steps: int) -> Array:
        """Probability ``(hardness, pixels + 1)`` that so many foreground pixels are below a value of the grid."""
        hardness, _ = self._hardness
        return _binomial(FOREGROUND, np.minimum(steps / LEVELS, 1.0) ** (1 / hardness))

    def _false_negative_rate(self, steps: int) -> float:
        rates = self._missed(steps) @ (np.arange(FOREGROUND + 1) / FOREGROUND)
        return float(rates @ self._hardness[1])

    def _worst_class(self, steps: int) -> float:
        """Of both classes or of the only one; images without any do not count."""
        at_most = np.cumsum(self._missed(steps), axis=1)
        both, one = self.present**2, 2 * self.present * (1 - self.present)
        # The mean of a whole number is the sum of the probabilities of exceeding 0, 1, 2, ...
        worst = (1 - at_most**2).sum(1) / FOREGROUND @ self._hardness[1]
        single = (1 - at_most).sum(1) / FOREGROUND @ self._hardness[1]
        return float((both * worst + one * single) / (both + one))

    def _marked(self, steps: int) -> Array:
        """Probability ``(hardness, pixels + 1)`` that so many background pixels reach a value of the grid."""
        hardness, _ = self._hardness
        # 1 - U ** (0.3 / h) reaches c if U <= (1 - c) ** (h / 0.3).
        return _binomial(BACKGROUND, np.maximum(1 - steps / LEVELS, 0.0) ** (hardness / DARK))

    def _false_positive_ratio(self, steps: int) -> float:
        counts = np.minimum(np.arange(BACKGROUND + 1) / FOREGROUND, 1)
        return float(self._marked(steps) @ counts @ self._hardness[1])

    def _exceeds(self, steps: int) -> float:
        most = math.floor(TOLERANCE * FOREGROUND)
        return float(self._missed(steps)[:, most + 1 :].sum(1) @ self._hardness[1])

    def _lesions_missed(self, steps: int) -> float:
        """The foreground is one lesion, missed with its last pixel."""
        return float(self._missed(steps)[:, -1] @ self._hardness[1])

    def _false_alarm(self, steps: int) -> float:
        """In an image without a class, pixels have the scores that they would have with it."""
        return float(1 - self._missed(steps)[:, -1] * self._marked(steps)[:, 0] @ self._hardness[1])

    def _marked_share(self, steps: int) -> float:
        inside = FOREGROUND - self._missed(steps) @ np.arange(FOREGROUND + 1)
        outside = self._marked(steps) @ np.arange(BACKGROUND + 1)
        return float((inside + outside) @ self._hardness[1] / (FOREGROUND + BACKGROUND))

    def _volume(self, steps: int) -> tuple[float, float]:
        """Probabilities that a set is smaller and larger than the structure, be that there or not."""
        missed, marked = self._missed(steps), self._marked(steps)
        at_most = np.cumsum(marked, axis=1)[:, : FOREGROUND + 1]
        equal = (missed * marked[:, : FOREGROUND + 1]).sum(1) @ self._hardness[1]
        under = (missed * at_most).sum(1) @ self._hardness[1] - equal
        over = self.present * (1 - under - equal) + (1 - self.present) * self._false_alarm(steps)
        return float(self.present * under), float(over)


KNOWN: dict[Risk, Callable[[Population, int], float]] = {
    FalseNegativeRate(): Population._false_negative_rate,
    WorstClassFalseNegativeRate(): Population._worst_class,
    FalsePositiveRatio(): Population._false_positive_ratio,
    Exceeds(FalseNegativeRate(), TOLERANCE): Population._exceeds,
    LesionsMissed(): Population._lesions_missed,
    FalseAlarm(): Population._false_alarm,
    MarkedShare(): Population._marked_share,
    VolumeUnderestimated(): lambda population, steps: population._volume(steps)[0],
    VolumeOverestimated(): lambda population, steps: population._volume(steps)[1],
}
"""Risks whose mean is computed."""


def _binomial(n: int, probability: Array) -> Array:
    """Probabilities ``(len(probability), n + 1)`` of 0 to n successes."""
    counts = np.arange(n + 1)
    ways = np.array([math.comb(n, k) for k in counts], dtype=np.float64)
    p = probability[:, None]
    return ways * p**counts * (1 - p) ** (n - counts)
