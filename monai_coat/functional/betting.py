# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Bets against a mean risk: evidence that holds whenever one looks, and confidence bounds of the mean."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_coat.functional.checks import check_delta
from monai_coat.functional.levels import exact_level

__all__ = ["betting_evidence", "betting_lower_bound", "betting_p_value", "betting_upper_bound"]

_STAKES = 2.0 ** (-np.arange(16) / 2)
_WEIGHTS = np.full(16, 1 / 16)
_ROUNDING = 1e-11  # more than the logarithm of one image's factor is wrong by, summation included


def betting_evidence(risks: ArrayLike, alpha: float) -> float:
    r"""Logarithm of an e-value against the hypothesis that the mean risk is above ``alpha``.

    .. math:: \log \sum_j w_j \prod_{i=1}^{n} \Big(1 - s_j + s_j \frac{1 - x_i}{1 - \alpha}\Big)

    with x_i the risks.

    Example:
        >>> betting_evidence([0.0] * 60, 0.1) > math.log(1 / 0.05) > betting_evidence([0.1] * 60, 0.1)
        True
    """
    return _evidence(_check_risks(risks), float(exact_level(alpha)))


def betting_p_value(risks: ArrayLike, alpha: float) -> float:
    """``min(1, exp(-evidence))`` of :func:`betting_evidence`.

    Example:
        >>> betting_p_value([0.0] * 60, 0.1) < 0.05
        True
    """
    return min(1.0, math.exp(-betting_evidence(risks, alpha)))


def betting_upper_bound(risks: ArrayLike, delta: float) -> float:
    """Upper confidence bound of the mean risk.

    Example:
        >>> 0.04 < betting_upper_bound([0.0] * 60, 0.05) < 0.1
        True
    """
    values, enough = _check_risks(risks), -math.log(check_delta(delta))
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if _evidence(values, middle) >= enough else (middle, high)
    return high


def betting_lower_bound(risks: ArrayLike, delta: float) -> float:
    """Lower confidence bound of the mean risk, by symmetry.

    Example:
        >>> betting_lower_bound([1.0] * 60, 0.05) > 0.9
        True
    """
    return 1 - betting_upper_bound(1 - _check_risks(risks), delta)


def _evidence(risks: NDArray[np.float64], alpha: float) -> float:
    values, counts = np.unique(risks, return_counts=True)
    payoffs = (1 - values) / (1 - alpha)
    with np.errstate(divide="ignore"):
        logs = np.array([(counts * np.log((1 - s) + s * payoffs)).sum() for s in _STAKES]) + np.log(_WEIGHTS)
    largest = float(logs.max())
    if largest == -math.inf:
        return largest
    return largest + math.log(np.exp(logs - largest).sum()) - _ROUNDING * risks.size


def _check_risks(risks: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(risks, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"risks must have one dimension, one number for each image, got shape {values.shape}.")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("risks must be in [0, 1], got others or NaN; leave images without foreground out.")
    return values
