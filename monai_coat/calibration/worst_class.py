# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One cutoff for all classes, with a promise about the worst of them in each image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from monai_coat.calibration._enough import check_enough
from monai_coat.calibration.pool import within_budget
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.statistics import CoverageStatistic
from monai_coat.functional import exact_level

__all__ = ["calibrate_worst_class"]


def calibrate_worst_class(statistic: CoverageStatistic, alpha: float) -> CalibrationResult:
    r"""Find the largest common cutoff that keeps the mean miss of each image's worst class at ``alpha``.

    With :math:`\mathrm{FNR}_{ik}(c)` the share of image i's foreground of class k with a score below c, and n images
    that contain any class,

    .. math:: \hat c = \max\Big\{c : \sum_{i=1}^{n} \max_k \mathrm{FNR}_{ik}(c) + 1 \le \alpha\,(n + 1)\Big\},

    where the maximum runs over the classes that the image contains. For an exchangeable new image that contains any,
    :math:`E[\max_k \mathrm{FNR}_k(\hat c)] \le \alpha`: all classes at once, where
    :func:`~monai_coat.calibration.calibrate` promises each by itself. The cutoff is one number for all classes, so
    scores of different classes should mean the same, as margins over predicted thresholds do.

    Args:
        statistic: foreground scores of the calibration images.
        alpha: tolerated mean of the worst class's false negative rate, in (0, 1).

    Returns:
        The cutoff, repeated for each class; ``n`` and ``n_empty`` count images with and without any class, and ``risk``
        is the mean over the worst classes.

    Raises:
        ValueError: if ``alpha`` is outside (0, 1), or there are too few images for it.

    Example:
        >>> import torch
        >>> statistic = CoverageStatistic()
        >>> scores = torch.tensor([[[0.2, 0.8], [0.5, 0.6]], [[0.7, 0.9], [0.3, 0.4]], [[0.6, 0.7], [0.6, 0.9]]])
        >>> statistic.update(scores, torch.ones(3, 2, 2))
        >>> result = calibrate_worst_class(statistic, alpha=0.5)  # at 0.4 two images miss half of one class
        >>> [round(c, 4) for c in result.cutoff], [round(r, 4) for r in result.risk]
        ([0.4, 0.4], [0.3333, 0.3333])
    """
    level, images = exact_level(alpha), _images(statistic)
    n, classes = len(images), len(statistic.pools)
    seen = len(statistic.pools[0]) + statistic.pools[0].n_empty if classes else 0
    check_enough(alpha, n, seen - n)
    cutoff = _largest(images, level * (n + 1) - 1)
    missed, sizes = _worst(images, cutoff)
    return CalibrationResult(
        cutoff=(float(cutoff) + 0.0,) * classes,
        alpha=float(alpha),
        n=(n,) * classes,
        n_empty=(seen - n,) * classes,
        controls="worst_miss",
        risk=(math.fsum(missed / sizes) / n,) * classes,
        guarantee=(
            f"E[worst class's FNR] <= {float(alpha)} on average over new images with foreground, exchangeable with the "
            "n used"
        ),
    )


@dataclass(frozen=True)
class _Image:
    """Ascending foreground scores of the classes that an image contains."""

    classes: tuple[NDArray[np.float32], ...]


def _images(statistic: CoverageStatistic) -> list[_Image]:
    """One entry per image with foreground."""
    found: dict[int, list[NDArray[np.float32]]] = {}
    for pool in statistic.pools:
        for position, scores in pool.images.items():
            found.setdefault(position, []).append(np.sort(scores))
    return [_Image(tuple(found[position])) for position in sorted(found)]


def _worst(images: list[_Image], cutoff: np.float32) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Misses and size of each image's worst class, compared without rounding."""
    rows = []
    for image in images:
        shares = [(int(np.searchsorted(scores, cutoff)), scores.size) for scores in image.classes]
        rows.append(max(shares, key=lambda share: Fraction(*share)))
    missed, sizes = np.array(rows, dtype=np.int64).T
    return missed, sizes


def _largest(images: list[_Image], budget: Fraction) -> np.float32:
    """The largest score within the budget, by bisection over all scores in order."""
    scores = np.unique(np.concatenate([scores for image in images for scores in image.classes]))
    low, high = 0, len(scores)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if within_budget(*_worst(images, scores[middle]), budget) else (low, middle)
    return np.float32(scores[low])
