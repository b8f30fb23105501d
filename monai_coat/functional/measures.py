# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The measures of a test set: what tables report of coverage, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monai_coat.functional.levels import target_coverage

__all__ = ["measures_of_test_set"]

Values = Sequence[float] | NDArray[np.float64]


def measures_of_test_set(coverage: Values, precision: Values, relative_size: Values, alpha: float) -> dict[str, float]:
    r"""Measures over the images of a test set that have foreground, with :math:`C_i` the coverage of image i.

    Args:
        coverage: true positive rate of each image, in [0, 1].
        precision: share of each set that is foreground, 1 of an empty set.
        relative_size: size of each set over that of the foreground.
        alpha: tolerated mean false negative rate, in (0, 1); the target t is ``1 - alpha``.

    Returns:
        By name: ``coverage``, mean of :math:`C_i`; ``coverage_gap``, of :math:`|C_i - t|`; ``shortfall``, of
        :math:`\max(t - C_i, 0)`; ``share_below``, share of images with :math:`C_i < t`; ``precision``, its mean;
        ``relative_size_median`` and ``relative_size_mean``.

    Raises:
        ValueError: if ``alpha`` is outside (0, 1), or there is no image.

    Example:
        >>> measures = measures_of_test_set([0.5, 1.0], [0.5, 0.5], [1.0, 2.0], alpha=0.25)
        >>> measures["coverage_gap"], measures["shortfall"], measures["share_below"]
        (0.25, 0.125, 0.5)
    """
    target, covered = target_coverage(alpha), np.asarray(coverage, dtype=np.float64)
    if not covered.size:
        raise ValueError("coverage must be of at least one image, got none; test on images that have foreground.")
    measures = {
        "coverage": covered.mean(),
        "coverage_gap": np.abs(covered - target).mean(),
        "shortfall": np.maximum(target - covered, 0).mean(),
        # Counts over counts and decimals are rounded alike: a coverage equal to the target is not below it.
        "share_below": (covered < target).mean(),
        "precision": np.mean(precision),
        "relative_size_median": np.median(relative_size),
        "relative_size_mean": np.mean(relative_size),
    }
    return {name: float(value) for name, value in measures.items()}
