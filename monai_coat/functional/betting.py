# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Bets that a mean risk is below a level: evidence that may be looked at after every image, and bounds of the mean."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_coat.functional.checks import check_delta
from monai_coat.functional.levels import exact_level

__all__ = ["betting_evidence", "betting_lower_bound", "betting_p_value", "betting_upper_bound"]

_STAKES = 2.0 ** (-np.arange(16) / 2)
_LOG_WEIGHTS = np.log(_STAKES / _STAKES.sum())
_ROUNDING = 1e-11  # for each image: more than rounding adds to the logarithm of its factor, summation included


def betting_evidence(risks: ArrayLike, alpha: float) -> float:
    r"""Logarithm of an e-value against the hypothesis that the mean risk is above ``alpha``.

    Somebody begins with one coin and bets on each image that its risk x is small: of a share s of the wealth,
    :math:`(1 - x) / (1 - \alpha)` times as much comes back, which is not in the gambler's favour while the expected
    risk is alpha or more. The wealth is divided among J = 16 gamblers, who keep to one share each:

    .. math:: E_n = \sum_{j=0}^{J-1} w_j \prod_{i=1}^{n} \Big(1 - s_j + s_j \frac{1 - x_i}{1 - \alpha}\Big), \qquad
        s_j = 2^{-j / 2}, \quad w_j = s_j \Big/ \sum_k s_k.

    Each factor is :math:`1 + \lambda_j (\alpha - x_i)` with :math:`\lambda_j = s_j / (1 - \alpha)`. Large shares win
    where risks vary little, small ones where they are all or nothing and many. The shares depend neither on the risks
    nor on n or alpha, so that E is a product of fair games for every n at once: if each image's expected risk, given
    those before it, is alpha or more, Ville's inequality gives

    .. math:: P\big(\exists\, n : E_n \ge 1 / \delta\big) \le \delta.

    It falls with each risk and rises with alpha, and the order of the risks does not matter, to the last bit. So at the
    largest cutoff with :math:`E_n \ge 1 / \delta`, the mean risk is above alpha with probability at most delta, for all
    n together: at each single cutoff where it is above alpha, E ever reaches :math:`1 / \delta` with probability at
    most delta; as cutoffs, and with them the risks, fall to the last one where it is not, these events only grow, and
    their union has no larger probability than their limit.

    Args:
        risks: one for each image, in [0, 1], shape ``(n,)``; may be empty.
        alpha: the level, in (0, 1).

    Returns:
        :math:`\log E_n`, lowered by 1e-11 for each image so that rounding never adds to it; 0 without images.

    Raises:
        TypeError: if ``alpha`` is no number.
        ValueError: if ``alpha`` is outside (0, 1), or ``risks`` are not one-dimensional or not in [0, 1].

    Example:
        One image without loss at alpha 1/2 doubles what is staked: E = 1 + sum of w s = 1 + sum of s^2 / sum of s.

        >>> shares = [2 ** (-j / 2) for j in range(16)]
        >>> round(betting_evidence([0.0], 0.5), 6) == round(math.log(1 + sum(s * s for s in shares) / sum(shares)), 6)
        True
        >>> betting_evidence([0.05] * 60, 0.1) > math.log(1 / 0.1) > betting_evidence([0.08] * 60, 0.1)
        True

    Source:
        Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting (JRSS B 2024), section 4, and
        the mixture over a grid of bets there; Ville, Étude critique de la notion de collectif (1939).
    """
    return _log_wealth(*_counted(1 - _check_risks(risks)), 1 - float(exact_level(alpha)))


def betting_p_value(risks: ArrayLike, alpha: float) -> float:
    r"""P-value of the hypothesis that the mean risk is above ``alpha``, :math:`\min(1, 1 / E_n)`.

    It may be looked at after every image: the probability that it is ever at most delta is at most delta, see
    :func:`betting_evidence`, whose arguments and errors it has.

    Example:
        >>> round(betting_p_value([0.05] * 60, 0.1), 3), betting_p_value([0.2] * 60, 0.1)
        (0.09, 1.0)
    """
    return math.exp(-max(0.0, betting_evidence(risks, alpha)))


def betting_upper_bound(risks: ArrayLike, delta: float) -> float:
    r"""Upper confidence bound of the mean risk: the least alpha at which :func:`betting_evidence` is enough.

    .. math:: \min\{\alpha : E_n(\alpha) \ge 1 / \delta\}

    by bisection, rounded up by a billionth at most. The probability that the mean is ever above it, whenever one
    looks, is at most ``delta``.

    Args:
        risks: one for each image, in [0, 1], shape ``(n,)``; may be empty.
        delta: tolerated probability of a bound that is too low, in (0, 1).

    Returns:
        A number in (0, 1], not below the mean of the risks; 1 says nothing.

    Raises:
        TypeError: if ``delta`` is no number.
        ValueError: if ``delta`` is outside (0, 1), or ``risks`` are not one-dimensional or not in [0, 1].

    Example:
        >>> round(betting_upper_bound([0.05] * 60, 0.1), 3)
        0.098
    """
    return 1 - _least_mean(1 - _check_risks(risks), delta)


def betting_lower_bound(risks: ArrayLike, delta: float) -> float:
    """Lower confidence bound of the mean risk: :func:`betting_upper_bound` of what is not lost, from the other end.

    The probability that the mean is ever below it, whenever one looks, is at most ``delta``. Arguments and errors are
    those of the upper bound; both bounds hold together with probability at least 1 - 2 delta.

    Example:
        >>> round(betting_lower_bound([0.95] * 60, 0.1), 3), betting_lower_bound([0.0] * 60, 0.1)
        (0.902, 0.0)
    """
    return _least_mean(_check_risks(risks), delta)


def _least_mean(gains: NDArray[np.float64], delta: float) -> float:
    """The largest mean that the gains are enough evidence to be above, rounded down; 0 if there is none."""
    (values, counts), enough = _counted(gains), -math.log(check_delta(delta))
    low, high = 0.0, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if _log_wealth(values, counts, middle) >= enough else (low, middle)
    return low


def _log_wealth(values: NDArray[np.float64], counts: NDArray[np.int64], mean: float) -> float:
    """Logarithm of the mixture of bets that gains are above their mean, rounded down."""
    # A sum of two terms that are not negative: nothing cancels, not even where all of the wealth is lost.
    payoffs = values / mean
    with np.errstate(divide="ignore"):  # log 0, of a share that lost everything
        logs = (counts * np.log((1 - _STAKES[:, None]) + _STAKES[:, None] * payoffs)).sum(1) + _LOG_WEIGHTS
    largest = float(logs.max())
    return largest + math.log(np.exp(logs - largest).sum()) - _ROUNDING * int(counts.sum())


def _counted(gains: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Values in ascending order and how often each occurs, so that the order of the images does not matter."""
    values, counts = np.unique(gains, return_counts=True)
    return values, counts


def _check_risks(risks: ArrayLike) -> NDArray[np.float64]:
    """Return the risks in double precision, or say why they are none."""
    values = np.asarray(risks, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"risks must have shape (n,), one number for each image, got {values.shape}; flatten them.")
    wrong = values[~((values >= 0) & (values <= 1))]
    if wrong.size:
        raise ValueError(
            f"risks must be in [0, 1], got {wrong[0]}; pass fractions such as false negative rates, and leave images "
            "without foreground out."
        )
    return values
