# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Binomial tails: what a count of all-or-nothing losses says about their probability."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from monai_coat.functional.checks import check_count, check_delta
from monai_coat.functional.levels import exact_level

__all__ = [
    "ROUNDING",
    "binomial_budget",
    "binomial_chances",
    "binomial_p_value",
    "clopper_pearson",
    "exact_total",
    "largest_count",
    "log_binomials",
]

ROUNDING = 1 + 1e-6
"""What a probability is multiplied by to be on the safe side: rounding is some 1e-8 of it for a million trials."""


def binomial_p_value(total: float | Fraction, n: int, alpha: float) -> float:
    r"""P-value of the hypothesis that the mean risk is above ``alpha``, for risks that are all 0 or 1.

    .. math:: p = P(B \le s), \qquad B \sim \mathrm{Bin}(n, \alpha),

    with s = ``total``. If n independent risks of 0 or 1 have a mean of alpha or more,
    :math:`P(p \le \delta) \le \delta` for every delta. It is not valid for risks in between: those have
    :func:`~monai_coat.functional.hinge_p_value`.

    Args:
        total: sum of the risks, in [0, n]. A fraction and a whole number are read exactly; any other float as the next
            one above it, so that a correctly rounded sum (:func:`math.fsum`) is never read too small.
        n: number of the risks, at least 1.
        alpha: the level, in (0, 1); read as the decimal that it prints as.

    Returns:
        A number in (0, 1], rounded up by a millionth of itself; small is evidence that the mean is at most alpha.

    Raises:
        TypeError: if ``alpha`` is no number or ``n`` not whole.
        ValueError: if ``alpha`` is outside (0, 1), ``n`` below 1 or ``total`` outside [0, n].

    Example:
        None of 29 images is lost: (1 - 0.1) ** 29 = 0.047.

        >>> round(binomial_p_value(0, 29, 0.1), 3), round(binomial_p_value(1, 29, 0.1), 3)
        (0.047, 0.199)
    """
    level, n = exact_level(alpha), check_count(n)
    return min(1.0, ROUNDING * _chance_at_most(math.floor(exact_total(total, n)), n, float(level)))


@lru_cache(maxsize=4096)
def binomial_budget(n: int, alpha: float, delta: float) -> Fraction:
    """The largest sum of n risks of 0 or 1 whose :func:`binomial_p_value` is at most ``delta``.

    The largest cutoff whose risks add up to at most this budget has a mean risk above alpha with probability at most
    delta; :func:`~monai_coat.functional.hoeffding_bentkus_budget` says why.

    Args:
        n: number of the risks, at least 0.
        alpha: the level, in (0, 1); read as the decimal that it prints as.
        delta: tolerated probability that the mean is above alpha nevertheless, in (0, 1).

    Returns:
        A whole number in [0, n), or -1 if not even a sum of 0 is evidence enough.

    Raises:
        TypeError: if ``alpha`` or ``delta`` is no number, or ``n`` not whole.
        ValueError: if ``alpha`` or ``delta`` is outside (0, 1), or ``n`` is negative.

    Example:
        >>> [int(binomial_budget(n, 0.1, 0.05)) for n in (28, 29, 200)]
        [-1, 0, 12]
    """
    level, n = exact_level(alpha), check_count(n, least=0)
    return Fraction(largest_count(n, float(level), check_delta(delta)))


def clopper_pearson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    r"""The exact two-sided confidence interval of a probability that showed itself k times in n independent trials.

    .. math:: \text{low} = \max\{p : P(\mathrm{Bin}(n, p) \ge k) \le (1 - \text{level}) / 2\}, \qquad
        \text{high} = \min\{p : P(\mathrm{Bin}(n, p) \le k) \le (1 - \text{level}) / 2\},

    and 0 for k = 0, 1 for k = n. Each is found by bisection and rounded outwards. Whatever the probability is, the
    interval contains it with probability at least ``level``.

    Args:
        k: trials in which it showed itself, in [0, n].
        n: trials, at least 1.
        level: probability in (0, 1) with which the interval must contain the true one: 0.95, not 0.05.

    Returns:
        The two ends, ``low <= k / n <= high``.

    Raises:
        TypeError: if ``k`` or ``n`` is not whole, or ``level`` no number.
        ValueError: if ``k`` is outside [0, n], ``n`` below 1 or ``level`` outside (0, 1).

    Example:
        Never in ten trials: (1 - high) ** 10 = 0.025.

        >>> low, high = clopper_pearson(0, 10)
        >>> low, round(high, 4), round(1 - 0.025 ** (1 / 10), 4)
        (0.0, 0.3085, 0.3085)

    Source:
        Clopper and Pearson, The use of confidence or fiducial limits (Biometrika 1934).
    """
    k, n = check_count(k, "k", least=0), check_count(n)
    if k > n:
        raise ValueError(f"k must be at most n={n}, got {k}; it counts some of the trials.")
    side = (1 - check_delta(level, "level")) / 2
    return 1 - _upper_end(n - k, n, side), _upper_end(k, n, side)


def _upper_end(k: int, n: int, side: float) -> float:
    """The least probability with which k or fewer of n trials have at most the chance ``side``, rounded up."""
    low, high = 0.0, 1.0
    while k < n and low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if ROUNDING * _chance_at_most(k, n, middle) <= side else (middle, high)
    return high


def largest_count(n: int, mean: float, chance: float) -> int:
    """The largest k for which P(B <= k) is at most ``chance``, B binomial of n trials; -1 if there is none."""
    if n == 0 or ROUNDING * math.exp(n * math.log1p(-mean)) > chance:
        return -1
    tail = np.cumsum(binomial_chances(n - 1, n, mean))
    return int(np.searchsorted(tail, chance / ROUNDING, side="right")) - 1


def binomial_chances(most: int, n: int, mean: float) -> NDArray[np.float64]:
    """The probabilities of 0, 1, ... ``most`` in n trials of probability ``mean``."""
    hits = np.arange(most + 1)
    chances: NDArray[np.float64] = np.exp(
        log_binomials(n)[: most + 1] + hits * math.log(mean) + (n - hits) * math.log1p(-mean)
    )
    return chances


@lru_cache(maxsize=8)
def log_binomials(n: int) -> NDArray[np.float64]:
    """Logarithms of the n + 1 binomial coefficients."""
    logs = torch.lgamma(torch.arange(1, n + 2, dtype=torch.float64)).numpy()
    found: NDArray[np.float64] = logs[n] - logs - logs[::-1]
    found.setflags(write=False)
    return found


def _chance_at_most(k: int, n: int, mean: float) -> float:
    """Of n trials with this probability, k or fewer."""
    return 1.0 if k >= n else float(binomial_chances(k, n, mean).sum())


def exact_total(total: float | Fraction, n: int) -> Fraction:
    """A sum of n risks, rounded up: a float that is not whole may have been rounded down to the one that it is."""
    if not 0 <= total <= n:
        raise ValueError(f"total must be in [0, {n}], the number of the risks, got {float(total)}; each is in [0, 1].")
    if isinstance(total, Fraction) or total == int(total):
        return Fraction(total)
    return Fraction(math.nextafter(float(total), math.inf))
