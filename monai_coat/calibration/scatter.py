# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How far the risk of new images scatters over draws of the calibration images, exactly, if risks are all or nothing.

Tested by tests/calibration/test_planning.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_coat.calibration.guarantees.base import MeanGuarantee, images_for

__all__ = ["BAND", "Scatter", "chance_of_at_most", "misses_among", "scatter", "tolerated_sum"]

BAND = (0.05, 0.5, 0.95)
"""The quantiles that are said."""

_HALVINGS = 50
_WINDOW = 40  # standard deviations of a binomial beyond which there is nothing left to add


@dataclass(frozen=True)
class Scatter:
    """The mean risk that all new images have after one calibration on n, as it varies over draws of these n.

    Attributes:
        n: calibration images that count.
        mean: mean over draws.
        sd: standard deviation over draws.
        low: 5 % quantile.
        median: 50 % quantile.
        high: 95 % quantile.
        above: share of draws after which the mean risk is above alpha.
    """

    n: int
    mean: float
    sd: float
    low: float
    median: float
    high: float
    above: float


def scatter(guarantee: MeanGuarantee, n: int) -> Scatter:
    r"""The scatter of the mean risk of new images after calibrating on n, for risks that are all or nothing.

    Let image i lose everything at cutoffs above its critical score :math:`s_i` and nothing up to it, and let the scores
    be independent draws from one continuous distribution F. With :math:`k = \lfloor \text{budget}(n) \rfloor` losses
    tolerated, the cutoff is the largest that at most k of the n scores lie below: the (k + 1)-th smallest score, below
    which lie exactly k; above it there are k + 1. A new image then loses with probability :math:`F(s_{(k + 1)})`, and

    .. math:: F(s_{(k + 1)}) \sim U_{(k + 1)} \sim \text{Beta}(k + 1,\ n - k),

    since the :math:`F(s_i)` are uniform, and the (k + 1)-th smallest of n uniform numbers is at most x if and only if
    at least k + 1 of them are:

    .. math:: P(U_{(k + 1)} \le x) = P(\text{Bin}(n, x) \ge k + 1).

    Its mean is (k + 1) / (n + 1), which for an expected risk is at most alpha. For a risk that falls with the cutoff,
    turn all scores round. Ties make the risk smaller, never larger: the new image loses if its score is strictly below
    the cutoff. Graded risks, such as false negative rates, mostly scatter less, as the sum of n of them does; how much
    less is seen in a :class:`~monai_coat.calibration.Pilot`.

    Args:
        guarantee: what is to be promised; its budget alone is used.
        n: calibration images that count, at least as many as the guarantee needs.

    Raises:
        TypeError: if the guarantee is none that follows from the sum of risks.
        ValueError: if n is too small for the guarantee.

    Example:
        At alpha 0.1 none of nine images may be missed; the risk is above 0.1 with probability 0.9 ** 9.

        >>> from monai_coat.calibration import ExpectedRisk
        >>> found = scatter(ExpectedRisk(alpha=0.1), 9)
        >>> round(found.mean, 3), round(found.high, 3), round(1 - 0.05 ** (1 / 9), 3)
        (0.1, 0.283, 0.283)
        >>> round(found.above, 3), round(0.9**9, 3)
        (0.387, 0.387)

    Source:
        Vovk, Conditional validity of inductive conformal predictors (ACML 2012), section 3; Angelopoulos and Bates, A
        Gentle Introduction to Conformal Prediction (2021), section 3.2.
    """
    below, above = _shape(guarantee, n)
    total = below + above
    low, median, high = (_quantile(n, below, level) for level in BAND)
    return Scatter(
        n=n,
        mean=below / total,
        sd=math.sqrt(below * above / (total + 1)) / total,
        low=low,
        median=median,
        high=high,
        above=1 - _chance_of_at_least(n, float(guarantee.alpha), below),
    )


def misses_among(guarantee: MeanGuarantee, n: int, new: int) -> NDArray[np.float64]:
    r"""The probabilities of 0, 1, ... ``new`` lost among so many new images, after calibrating on n of them.

    They are beta-binomial, with a = k + 1 and b = n - k of :func:`scatter`:

    .. math:: P(j) = \binom{m}{j} \frac{B(j + a,\ m - j + b)}{B(a, b)}.

    A test set of m images scatters around the risk of all new images, which itself scatters from one calibration to the
    next. This is both: what evaluating on m images may show although nothing is wrong.

    Args:
        guarantee: what is to be promised; its budget alone is used.
        n: calibration images that count.
        new: m, new images that count, at least 0.

    Raises:
        TypeError: if the guarantee is none that follows from the sum of risks.
        ValueError: if n is too small for the guarantee, or ``new`` is negative.

    Example:
        At alpha 0.5 one image calibrates: the new one is missed if its score is the lower of the two.

        >>> from monai_coat.calibration import ExpectedRisk
        >>> misses_among(ExpectedRisk(alpha=0.5), 1, 1).round(6).tolist()
        [0.5, 0.5]
    """
    a, b = _shape(guarantee, n)
    if new < 0:
        raise ValueError(f"new must be a number of images, at least 0, got {new}; give the size of the test set.")
    logs = [
        math.lgamma(new + 1) - math.lgamma(j + 1) - math.lgamma(new - j + 1) + _log_beta(j + a, new - j + b)
        for j in range(new + 1)
    ]
    chances: NDArray[np.float64] = np.exp(np.array(logs) - _log_beta(a, b))
    return chances


def chance_of_at_most(guarantee: MeanGuarantee, n: int, risk: float) -> float:
    """The probability that the mean risk of new images is at most ``risk``; see :func:`scatter`.

    Example:
        >>> from monai_coat.calibration import ExpectedRisk
        >>> chance_of_at_most(ExpectedRisk(alpha=0.5), 1, 0.25)
        0.25
    """
    return _chance_of_at_least(n, risk, _shape(guarantee, n)[0])


def tolerated_sum(guarantee: MeanGuarantee, n: int) -> float:
    """The budget of n images, or the sentence that says why there is none.

    Raises:
        TypeError: if the guarantee is none that follows from the sum of risks.
        ValueError: if n is too small for the guarantee.

    Example:
        >>> from monai_coat.calibration import ExpectedRisk
        >>> tolerated_sum(ExpectedRisk(alpha=0.1), 49)
        4.0
    """
    if not isinstance(guarantee, MeanGuarantee):
        raise TypeError(
            f"guarantee must be a MeanGuarantee such as ExpectedRisk(FalseNegativeRate(), 0.1), got "
            f"{type(guarantee).__name__}; a level alone is ExpectedRisk(alpha=0.1)."
        )
    if n < 1 or guarantee.budget(n) < 0:
        raise ValueError(
            f"n must be at least {images_for(guarantee.budget)} for alpha={float(guarantee.alpha)}, got {n}; fewer "
            f"calibration {guarantee.risk.counted} promise nothing."
        )
    return float(guarantee.budget(n))


def _shape(guarantee: MeanGuarantee, n: int) -> tuple[int, int]:
    """Parameters of the beta distribution, k + 1 and n - k."""
    tolerated_sum(guarantee, n)
    tolerated = math.floor(guarantee.budget(n))
    return tolerated + 1, n - tolerated


def _quantile(n: int, least: int, level: float) -> float:
    """The risk that is not exceeded with probability ``level``, by bisection on the binomial tail."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = _chance_of_at_least(n, middle, least) >= level
        low, high = (low, middle) if enough else (middle, high)
    return high


def _chance_of_at_least(n: int, chance: float, least: int) -> float:
    """P(Bin(n, chance) >= least), summed from its largest term on, until nothing is left to add."""
    if least <= n * chance:
        return 1 - _chance_of_at_least(n, 1 - chance, n - least + 1)
    if least > n or chance <= 0:
        return 0.0
    log_first = math.lgamma(n + 1) - math.lgamma(least + 1) - math.lgamma(n - least + 1)
    log_first += least * math.log(chance) + (n - least) * math.log1p(-chance)
    terms = min(n - least, 100 + int(_WINDOW * math.sqrt(n * chance * (1 - chance))))
    hits = np.arange(least, least + terms)
    ratios = np.cumprod((n - hits) / (hits + 1) * (chance / (1 - chance)))
    return math.exp(log_first) * (1 + float(ratios.sum()))


def _log_beta(a: int, b: int) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
