# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the sum of n risks in [0, 1] says about their mean: p-values, and the largest sum that is evidence enough."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np

from monai_coat.functional.binomial_tails import ROUNDING, binomial_chances, exact_total, largest_count
from monai_coat.functional.checks import check_count, check_delta
from monai_coat.functional.levels import exact_level

__all__ = [
    "hinge_budget",
    "hinge_p_value",
    "hoeffding_bentkus_budget",
    "hoeffding_bentkus_p_value",
    "least_shortfall",
]


def hoeffding_bentkus_p_value(total: float | Fraction, n: int, alpha: float) -> float:
    r"""P-value of the hypothesis that the mean risk is above ``alpha``, for risks anywhere in [0, 1].

    .. math:: p = \min\big\{e^{-n\,h(\min(s / n, \alpha), \alpha)},\; e\,P(B \le \lceil s \rceil),\; 1\big\}, \qquad
        h(r, \alpha) = r \log\frac{r}{\alpha} + (1 - r) \log\frac{1 - r}{1 - \alpha},

    with s = ``total`` and B binomial, of n trials with probability alpha. If n independent risks have a mean of alpha
    or more, :math:`P(p \le \delta) \le \delta` for every delta.

    Args:
        total: sum of the risks, in [0, n]; see :func:`binomial_p_value` for how it is read.
        n: number of the risks, at least 1.
        alpha: the level, in (0, 1); read as the decimal that it prints as.

    Returns:
        A number in (0, 1], rounded up by a millionth of itself; small is evidence that the mean is at most alpha.

    Raises:
        TypeError: if ``alpha`` is no number or ``n`` not whole.
        ValueError: if ``alpha`` is outside (0, 1), ``n`` below 1 or ``total`` outside [0, n].

    Example:
        None of 22 images loses anything: (1 - 0.1) ** 22 = 0.098. A loss of 1 in all takes more of them.

        >>> round(hoeffding_bentkus_p_value(0, 22, 0.1), 3), round(hoeffding_bentkus_p_value(1, 22, 0.1), 3)
        (0.098, 0.639)

    Source:
        Bates et al., Distribution-Free, Risk-Controlling Prediction Sets (JACM 2021), section 3.1; Angelopoulos et
        al., Learn then Test (2021), Proposition 1.
    """
    level, n = exact_level(alpha), check_count(n)
    total = exact_total(total, n)
    tail = math.e * float(binomial_chances(math.ceil(total), n, float(level)).sum())
    return min(1.0, ROUNDING * min(_hoeffding(total, n, level), tail))


@lru_cache(maxsize=4096)
def hoeffding_bentkus_budget(n: int, alpha: float, delta: float) -> Fraction:
    r"""The largest sum of n risks in [0, 1] whose :func:`hoeffding_bentkus_p_value` is at most ``delta``.

    The largest cutoff whose risks add up to at most this budget has a mean risk above alpha with probability at most
    delta, although it is chosen on the same images. Let c* be the largest cutoff whose mean risk is at most alpha;
    there is one, as risks do not fall with the cutoff and are left-continuous in it. The chosen cutoff is above c* only
    if the n risks are within the budget at some c > c*. At each single one, where their mean is above alpha, they are
    with probability at most delta; and as c falls to c* these events only grow, so that their union has no larger
    probability than their limit. (Where risks fall with the cutoff, read all of it from the other end.)

    Args:
        n: number of the risks, at least 0.
        alpha: the level, in (0, 1); read as the decimal that it prints as.
        delta: tolerated probability that the mean is above alpha nevertheless, in (0, 1).

    Returns:
        A sum in [0, alpha n), rounded down; -1 if not even a sum of 0 is evidence enough.

    Raises:
        TypeError: if ``alpha`` or ``delta`` is no number, or ``n`` not whole.
        ValueError: if ``alpha`` or ``delta`` is outside (0, 1), or ``n`` is negative.

    Example:
        >>> float(hoeffding_bentkus_budget(21, 0.1, 0.1)), float(hoeffding_bentkus_budget(200, 0.1, 0.1))
        (-1.0, 12.0)

    Source:
        Bates et al., Distribution-Free, Risk-Controlling Prediction Sets (JACM 2021), Theorem 1 and section 3.1.
    """
    level, n, tolerated = exact_level(alpha), check_count(n, least=0), check_delta(delta)
    if n == 0 or ROUNDING * _hoeffding(Fraction(0), n, level) > tolerated:
        return Fraction(-1)
    low, high = 0.0, float(level * n)
    while low < (middle := (low + high) / 2) < high:
        enough = ROUNDING * _hoeffding(Fraction(middle), n, level) <= tolerated
        low, high = (middle, high) if enough else (low, middle)
    return max(Fraction(low), Fraction(largest_count(n, float(level), tolerated / math.e)))


def _hoeffding(total: Fraction, n: int, level: Fraction) -> float:
    """Hoeffding's bound of the probability that n risks with a mean of the level add up to at most the total."""
    if total >= level * n:
        return 1.0
    share, alpha = float(total / n), float(level)
    divergence = (share * math.log(share / alpha) if share else 0.0) + (1 - share) * (
        math.log1p(-share) - math.log1p(-alpha)
    )
    return math.exp(-n * divergence)


def hinge_p_value(total: float | Fraction, n: int, alpha: float) -> float:
    r"""P-value of the hypothesis that the mean risk is above ``alpha``, for risks anywhere in [0, 1]; the smallest one.

    .. math:: p = \min_{t = \lfloor s \rfloor + 1, \dots, n} \frac{E[(t - B)_+]}{t - s}, \qquad
        B \sim \mathrm{Bin}(n, \alpha),

    with s = ``total``, and 1 for s = n. Since :math:`1\{S \le s\} \le (t - S)_+ / (t - s)`, and the mean of a convex
    function of the sum S is largest for all-or-nothing risks, each of the fractions bounds the probability that n
    independent risks with a mean of alpha or more add up to at most s. Their minimum does not fall with s, so that
    :math:`P(p \le \delta) \le \delta`. The two bounds of :func:`hoeffding_bentkus_p_value` are weaker forms of it.

    Args:
        total: sum of the risks, in [0, n]; read as by :func:`~monai_coat.functional.binomial_p_value`.
        n: number of the risks, at least 1.
        alpha: the level, in (0, 1); read as the decimal that it prints as.

    Returns:
        A number in (0, 1], rounded up by a millionth of itself; small is evidence that the mean is at most alpha.

    Raises:
        TypeError: if ``alpha`` is no number or ``n`` not whole.
        ValueError: if ``alpha`` is outside (0, 1), ``n`` below 1 or ``total`` outside [0, n].

    Example:
        >>> round(hinge_p_value(0, 22, 0.1), 3), round(hinge_p_value(1, 22, 0.1), 3)
        (0.098, 0.438)

    Source:
        Hoeffding, Probability inequalities for sums of bounded random variables (JASA 1963), proof of Theorem 1;
        Bentkus, On Hoeffding's inequalities (Annals of Probability 2004).
    """
    level, n = exact_level(alpha), check_count(n)
    total = exact_total(total, n)
    if total == n:
        return 1.0
    return min(1.0, ROUNDING * least_shortfall(total, n, float(level)))


@lru_cache(maxsize=4096)
def hinge_budget(n: int, alpha: float, delta: float) -> Fraction:
    r"""The largest sum of n risks in [0, 1] whose :func:`hinge_p_value` is at most ``delta``.

    .. math:: s = k + 1 - \frac{1}{\delta} \sum_{j=0}^{k} P(B \le j), \qquad k = \max\{j : P(B \le j) \le \delta\},

    which is the largest of all :math:`t - E[(t - B)_+] / \delta`, since :math:`E[(t - B)_+]` grows by
    :math:`P(B \le t)` from t to t + 1. It is between the binomial budget k and k + 1 of which it may be a part less.
    The largest cutoff whose risks add up to at most this budget has a mean risk above alpha with probability at most
    delta; :func:`hoeffding_bentkus_budget` says why.

    Args:
        n: number of the risks, at least 0.
        alpha: the level, in (0, 1); read as the decimal that it prints as.
        delta: tolerated probability that the mean is above alpha nevertheless, in (0, 1).

    Returns:
        A sum in [0, alpha n), rounded down; -1 if not even a sum of 0 is evidence enough.

    Raises:
        TypeError: if ``alpha`` or ``delta`` is no number, or ``n`` not whole.
        ValueError: if ``alpha`` or ``delta`` is outside (0, 1), or ``n`` is negative.

    Example:
        >>> round(float(hinge_budget(200, 0.1, 0.1)), 2), float(hoeffding_bentkus_budget(200, 0.1, 0.1))
        (12.88, 12.0)
    """
    level, n, tolerated = float(exact_level(alpha)), check_count(n, least=0), check_delta(delta)
    k = largest_count(n, level, tolerated)
    if k < 0:
        return Fraction(-1)
    tails = np.cumsum(binomial_chances(k, n, level))
    return max(Fraction(0), k + 1 - Fraction(ROUNDING * float(tails.sum()) / tolerated))


def least_shortfall(total: Fraction, n: int, mean: float) -> float:
    """The least of the bounds of :func:`hinge_p_value`, for a sum below n; without rounding."""
    first = math.floor(total) + 1
    shortfall = np.cumsum(np.cumsum(binomial_chances(n, n, mean)))  # at t - 1: the sum of P(B <= k) over k < t
    return float((shortfall[first - 1 : n] / (float(first - total) + np.arange(n - first + 1))).min())
