# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Tests and bounds of a mean risk, by bets or, where risks are 0 or 1, binomial.

Tested by tests/calibration/test_auditing.py.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_coat.functional import (
    betting_lower_bound,
    betting_p_value,
    betting_upper_bound,
    binomial_p_value,
    clopper_pearson,
)
from monai_coat.functional.checks import check_delta

__all__ = ["excess_p_value", "mean_interval", "shortfall_p_value", "upper_bound"]


def excess_p_value(risks: ArrayLike, mean: float, binary: bool = False) -> float:
    r"""P-value of the hypothesis that the mean risk is at most ``mean``: small is evidence that it is above.

    .. math:: P(\mathrm{Bin}(n, \text{mean}) \ge \textstyle\sum_i x_i)

    of binary risks; else :func:`~monai_coat.functional.betting_p_value` of what is not lost, :math:`1 - x_i`.

    Args:
        risks: one for each image, in [0, 1], shape ``(n,)``; may be empty.
        mean: a mean risk in (0, 1]; none is above 1.
        binary: whether all risks are 0 or 1.

    Returns:
        A number in (0, 1].

    Raises:
        ValueError: if a risk is outside [0, 1], or not 0 or 1 although ``binary`` says so.

    Example:
        Three of three lost, where a tenth is tolerated: 0.1 ** 3.

        >>> round(excess_p_value([1, 1, 1], 0.1, binary=True), 6)
        0.001
    """
    values = np.asarray(risks, dtype=np.float64)
    if mean >= 1 or not values.size:
        return 1.0
    if binary:
        return binomial_p_value(values.size - _count(values), values.size, 1 - mean)
    return betting_p_value(1 - values, 1 - mean)


def shortfall_p_value(values: NDArray[np.float64], mean: float, binary: bool) -> float:
    """P-value of the hypothesis that the mean risk is above ``mean``: small is evidence that it is at most that.

    Arguments are those of :func:`excess_p_value`, with risks of at least one image and ``mean`` below 1.

    Example:
        None of three lost, where a half is tolerated: 0.5 ** 3.

        >>> round(shortfall_p_value(np.zeros(3), 0.5, binary=True), 6)
        0.125
    """
    return binomial_p_value(_count(values), values.size, mean) if binary else betting_p_value(values, mean)


def mean_interval(risks: ArrayLike, level: float = 0.95, binary: bool = False) -> tuple[float, float]:
    """The two-sided confidence interval of a mean risk: by bets, or of Clopper and Pearson if risks are 0 or 1.

    Args:
        risks: one for each image, in [0, 1], shape ``(n,)``; may be empty.
        level: probability in (0, 1) with which the interval must contain the mean.
        binary: whether all risks are 0 or 1.

    Raises:
        ValueError: if a risk is outside [0, 1], or not 0 or 1 although ``binary`` says so.

    Example:
        >>> [round(end, 3) for end in mean_interval([0.05] * 60)], mean_interval([])
        ([0.046, 0.121], (0.0, 1.0))
    """
    values = np.asarray(risks, dtype=np.float64)
    if not values.size:
        return 0.0, 1.0
    if binary:
        return clopper_pearson(_count(values), values.size, level)
    side = (1 - check_delta(level, "level")) / 2
    return betting_lower_bound(values, side), betting_upper_bound(values, side)


def upper_bound(values: NDArray[np.float64], delta: float, binary: bool) -> float:
    """Upper confidence bound of a mean risk, which is above it with probability at most ``delta``.

    Example:
        None of three lost: (1 - 0.5) ** 3 = 0.125.

        >>> round(upper_bound(np.zeros(3), 0.125, binary=True), 4)
        0.5
    """
    if not binary:
        return betting_upper_bound(values, delta)
    return clopper_pearson(_count(values), values.size, 1 - 2 * delta)[1] if delta < 0.5 else 1.0


def _count(values: NDArray[np.float64]) -> int:
    wrong = values[(values != 0) & (values != 1)]
    if wrong.size:
        raise ValueError(f"risks must be 0 or 1 if binary, got {wrong[0]}; leave binary out.")
    return int(values.sum())
