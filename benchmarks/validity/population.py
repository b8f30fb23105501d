# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A population of images of two classes whose mean risk at any cutoff is a sum that can be computed."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CLASSES, IMAGES, FOREGROUND, BACKGROUND, LEVELS, PRESENT = 2, 60, 20, 60, 200, 0.9
SPREAD, DARK = 0.5, 0.3
Array = NDArray[np.float64]


class Population:
    """Images with a log-normal hardness h, in which scores are rounded down to multiples of 1 / 200.

    Of each class that is present, 20 foreground pixels have scores U ** h and 60 of the background 1 - U ** (0.3 / h),
    U uniform and independent given h. Classes are present independently of each other.
    """

    def batch(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Scores and labels ``(count, classes, pixels)``; foreground comes first."""
        hardness = np.exp(SPREAD * rng.standard_normal((count, 1, 1)))
        inside = rng.random((count, CLASSES, FOREGROUND)) ** hardness
        outside = 1 - rng.random((count, CLASSES, BACKGROUND)) ** (DARK / hardness)
        steps = np.floor(np.concatenate([inside, outside], axis=2) * LEVELS)
        scores = np.minimum(steps, LEVELS - 1) / LEVELS  # what is nearly 1 may have been rounded to it
        labels = np.zeros(scores.shape, bool)
        labels[..., :FOREGROUND] = rng.random((count, CLASSES, 1)) < PRESENT
        return torch.from_numpy(scores.astype(np.float32)), torch.from_numpy(labels)

    @cached_property
    def _hardness(self) -> tuple[Array, Array]:
        """Nodes and weights for means over hardness."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        return np.exp(SPREAD * nodes), weights / weights.sum()

    def risk(self, name: str, cutoff: float) -> float:
        """The mean of a risk of :data:`~monai_coat.calibration.RISKS` over images that count, at a cutoff."""
        # What reaches the cutoff is what reaches the lowest value of the grid that is not below it, as float32.
        grid = (np.arange(LEVELS + 1) / LEVELS).astype(np.float32)
        return _RISKS[name](self, int(np.searchsorted(grid, np.float32(cutoff))))

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
        both, one = PRESENT**2, 2 * PRESENT * (1 - PRESENT)
        # The mean of a whole number is the sum of the probabilities of exceeding 0, 1, 2, ...
        worst = (1 - at_most**2).sum(1) / FOREGROUND @ self._hardness[1]
        single = (1 - at_most).sum(1) / FOREGROUND @ self._hardness[1]
        return float((both * worst + one * single) / (both + one))

    def _false_positive_ratio(self, steps: int) -> float:
        hardness, weights = self._hardness
        # 1 - U ** (0.3 / h) reaches c if U <= (1 - c) ** (h / 0.3).
        inside = np.maximum(1 - steps / LEVELS, 0.0) ** (hardness / DARK)
        counts = np.minimum(np.arange(BACKGROUND + 1) / FOREGROUND, 1)
        return float(_binomial(BACKGROUND, inside) @ counts @ weights)


_RISKS = {
    "false_negative_rate": Population._false_negative_rate,
    "worst_class_false_negative_rate": Population._worst_class,
    "false_positive_ratio": Population._false_positive_ratio,
}


def _binomial(n: int, probability: Array) -> Array:
    """Probabilities ``(len(probability), n + 1)`` of 0 to n successes."""
    counts = np.arange(n + 1)
    ways = np.array([math.comb(n, k) for k in counts], dtype=np.float64)
    p = probability[:, None]
    return ways * p**counts * (1 - p) ** (n - counts)
