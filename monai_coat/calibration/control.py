# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Conformal risk control: from the statistic of a calibration set to a cutoff with a guarantee."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.calibration._enough import check_enough
from monai_coat.calibration.pool import Crossing
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.statistics import CoverageStatistic, statistic_of_maps
from monai_coat.functional import exact_level

__all__ = ["calibrate", "calibrate_maps"]


def calibrate(statistic: CoverageStatistic, alpha: float) -> CalibrationResult:
    r"""Find the largest cutoff that keeps the mean false negative rate of a new image at ``alpha``, for each class.

    With :math:`\mathrm{FNR}_i(c)` the share of image i's foreground with a score below c, and n images with foreground,

    .. math:: \hat c = \max\Big\{c : \sum_{i=1}^{n} \mathrm{FNR}_i(c) + 1 \le \alpha\,(n + 1)\Big\}.

    The maximum is exact, ties included: it is a score of the calibration set, found without a grid. If the calibration
    images and a new image are exchangeable, and the scorer has seen none of them,
    :math:`E[\mathrm{FNR}_{n+1}(\hat c)] \le \alpha`. The promise is about the average over images that contain the
    class, not about each image.

    Args:
        statistic: foreground scores of the calibration images.
        alpha: tolerated mean false negative rate, in (0, 1); read as the decimal that it prints as.

    Returns:
        The cutoff per class, with n and the risk on the calibration set.

    Raises:
        ValueError: if ``alpha`` is outside (0, 1), if the statistic holds no image, or if a class has too few images
            for ``alpha``: then not even predicting everything could be promised to meet it.

    Example:
        >>> import torch
        >>> scores = [torch.tensor([[0.2, 0.8]]), torch.tensor([[0.4, 0.9]]), torch.tensor([[0.6, 0.7]])]
        >>> result = calibrate_maps(scores, [torch.ones(1, 2, dtype=torch.bool)] * 3, alpha=0.5)
        >>> [round(c, 4) for c in result.cutoff], result.n, [round(r, 4) for r in result.risk]
        ([0.6], (3,), [0.3333])

    Source:
        Angelopoulos et al., Conformal Risk Control (ICLR 2024), equation 4 and Theorem 1; COAT (ICLR 2026), post-hoc
        correction, which is this rule on margins.
    """
    level = exact_level(alpha)
    if not statistic.pools:
        raise ValueError("statistic must hold at least one image, got none; call update(scores, labels) first.")
    for index, pool in enumerate(statistic.pools):
        check_enough(alpha, len(pool), pool.n_empty, index if len(statistic.pools) > 1 else None)
    crossings = [pool.crossing(level * (len(pool) + 1) - 1) for pool in statistic.pools]
    return result_of_crossings(crossings, [pool.sizes for pool in statistic.pools], statistic.n_empty, alpha)


def result_of_crossings(
    crossings: Sequence[Crossing], sizes: Sequence[NDArray[np.int64]], n_empty: tuple[int, ...], alpha: float
) -> CalibrationResult:
    """What was found, class by class, with what is promised."""
    risks = [math.fsum(found.missed / size) / len(size) for found, size in zip(crossings, sizes, strict=True)]
    return CalibrationResult(
        cutoff=tuple(found.cutoff for found in crossings),
        alpha=float(alpha),
        n=tuple(len(size) for size in sizes),
        n_empty=n_empty,
        risk=tuple(risks),
        guarantee=f"E[FNR] <= {float(alpha)} on average over new images with foreground, exchangeable with the n used",
    )


def calibrate_maps(scores: Sequence[Tensor], labels: Sequence[Tensor], alpha: float) -> CalibrationResult:
    """:func:`calibrate` for a sequence of score maps and masks ``(C, *spatial)``, whose sizes may differ.

    Args:
        scores: score maps, one per image.
        labels: reference masks of the same shapes, bool or {0, 1}.
        alpha: tolerated mean false negative rate, in (0, 1).

    Returns:
        The result of :func:`calibrate`.

    Raises:
        TypeError: if a map is not floating point.
        ValueError: as :func:`calibrate`; or naming the first image that is at fault.
    """
    exact_level(alpha)
    return calibrate(statistic_of_maps(scores, labels), alpha)
