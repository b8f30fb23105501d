# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A running test of whether the risk of new images is higher than chance in the calibration can explain."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from monai_coat.functional import exact_level, images_needed, least_shortfall

__all__ = ["DriftWatch", "risk_bound", "share_of_level"]

_STAKES = 16
_LARGEST = 1e300  # wealth above it is given away, so that no product overflows


class DriftWatch:
    r"""A running test, by betting, of whether new images' mean risk exceeds what chance in calibration can explain.

    Conformal risk control keeps the mean risk at alpha on average over draws of the calibration images. The one draw
    in use may have a mean risk above alpha although nothing has drifted, but with probability at least 1 - level / 2 it
    is at most a = ``bound``, the :func:`risk_bound` of alpha, n and level / 2, or alpha if that is more. Bets are
    against a mean of at most a:

    .. math:: W_t = \frac{1}{t + 1} + \sum_{s=1}^{t} \frac{1}{s\,(s + 1)} \cdot \frac{1}{J} \sum_{j=1}^{J}
        \prod_{i=s}^{t} \big(1 + \lambda_j (x_i - a)\big), \qquad \lambda_j = \frac{j}{J a},

    with x_i in [0, 1] the risk of new image i, in the order of time. Stakes of J = 16 sizes find small and large
    excesses. A part 1 / (s (s + 1)) of the wealth is bet from image s on and the rest is kept, so that many good images
    do not hide a drift that comes late. While every image's expected risk, given those before it, is at most a, the
    game is not in the gambler's favour, so :math:`P(\exists\, t : W_t \ge 2 / \text{level}) \le \text{level} / 2`.

    Together: if calibration and new images are independent draws from one population, the probability that ``broken``
    ever becomes true is at most ``level``, however often one looks. When it is true, calibrate anew. While it is not,
    the mean risk may still be anything up to ``bound``, or have just passed it: show ``bound`` beside the answer. With
    the default level and alpha 0.1 it is 0.42 for 10 calibration images, 0.24 for 50 and 0.18 for 150.

    All of this holds for every risk in [0, 1] that :func:`~monai_coat.calibration.calibrate` controls (false
    negative rate, that of the worst class, false alarms up to their cap), since only alpha and n enter.

    Args:
        alpha: mean risk that was promised, in (0, 1); read as the decimal that it prints as.
        n: calibration images behind the promise, those with foreground, as in ``CalibrationResult.n``.
        level: tolerated probability of a false alarm, ever, in (0, 1); see :func:`share_of_level` for several tests.
        risks: risks of new images that were seen before, in order.

    Attributes:
        bound: mean risk that is bet against, in [alpha, 1].
        n_seen: new images with foreground so far.
        broken: whether ``evidence`` has reached ``2 / level``, now or earlier.

    Raises:
        ValueError: if alpha or level is outside (0, 1), n is too small for alpha, or a risk is outside [0, 1].

    Example:
        >>> watch = DriftWatch(alpha=0.1, n=50)
        >>> round(watch.bound, 3)
        0.239
        >>> for _ in range(30):
        ...     watch.update(0.6)
        >>> watch.broken, watch.evidence > 200, watch.n_seen
        (True, True, 30)

    Source:
        Bates et al., Distribution-Free, Risk-Controlling Prediction Sets (JACM 2021), Theorem 1, for the bound;
        Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting (JRSS B 2024), section 4, and
        Ville's inequality for the bets; Shin, Ramdas and Rinaldo, E-detectors (NEJSDS 2024), for bets that begin later.
    """

    def __init__(self, alpha: float, n: int, level: float = 0.01, risks: Iterable[float] = ()) -> None:
        self.alpha, self.n, self.level = float(alpha), n, _check_level(level)
        # A mean risk up to alpha keeps the promise, even where chance could hardly raise it that high.
        self.bound = max(self.alpha, risk_bound(alpha, n, self.level / 2))
        self.n_seen, self.broken = 0, False
        self._stakes = np.arange(1, _STAKES + 1) / (_STAKES * self.bound)
        self._invested = np.zeros(_STAKES)
        for risk in risks:
            self.update(risk)

    def update(self, risk: float) -> None:
        """Take the risk of the next image, such as its false negative rate; NaN, for no foreground, is passed over.

        Raises:
            ValueError: if the risk is outside [0, 1]. Nothing is changed then.
        """
        risk = float(risk)
        if math.isnan(risk):
            return
        if not 0 <= risk <= 1:
            raise ValueError(
                f"risk must be in [0, 1], or NaN for an image without foreground, got {risk}; "
                "pass a fraction such as the false negative rate, not a percentage or a count."
            )
        self.n_seen += 1
        joining = 1 / (_STAKES * self.n_seen * (self.n_seen + 1))
        wealth = (self._invested + joining) * (1 + self._stakes * (risk - self.bound))
        # The largest stake may lose everything, which rounding can turn into slightly more than that.
        self._invested = np.clip(wealth, 0, _LARGEST)
        # What was once found stays found: the probability above is that of ever reaching the limit.
        self.broken = self.broken or self.evidence >= 2 / self.level

    @property
    def evidence(self) -> float:
        """The wealth W now; 1 before the first image, at or above ``2 / level`` when the test is broken."""
        return 1 / (self.n_seen + 1) + float(self._invested.sum())

    @property
    def can_tell(self) -> bool:
        """Whether there are risks that would break the test; false if ``bound`` is 1, as for level 1e-16 and n = 1."""
        return self.bound < 1


def risk_bound(alpha: float, n: int, level: float) -> float:
    r"""The mean risk that one calibration on n images exceeds with probability at most ``level``.

    Conformal risk control takes the largest cutoff at which the n risks add up to at most b = alpha (n + 1) - 1. With
    B(m) binomial, of n trials with probability m, the result is

    .. math:: \min\Big\{m : \min_{t = \lfloor b \rfloor + 1, \dots, n} \frac{E[(t - B(m))_+]}{t - b}
        \le \text{level}\Big\},

    found by bisection and rounded up. The fraction bounds the probability that n independent risks in [0, 1] of mean m
    or more add up to at most b: :math:`1\{s \le b\} \le (t - s)_+ / (t - b)`, and the mean of a convex function of the
    sum is largest for all-or-nothing risks. Since b is known before any image is seen, the best t may be chosen without
    paying for the choice. The result is never above that of the Hoeffding-Bentkus bound.

    Why it holds for a cutoff chosen on the same images, ties and jumps included: let c* be the largest cutoff whose
    mean risk is at most the result; there is one, as risks do not fall with the cutoff and are left-continuous in it (a
    score equal to the cutoff is inside). The calibrated cutoff is above c* only if the n risks add up to at most b at
    some c > c*; at each single one they do with probability at most ``level``, and as c falls to c* these events only
    grow, so that their union has no larger probability than their limit.

    Args:
        alpha: mean risk that was promised, in (0, 1); read as the decimal that it prints as.
        n: calibration images behind the promise, independent draws from one population.
        level: probability, in (0, 1), with which the mean risk of new images may be above the result.

    Returns:
        A mean risk in (b / n, 1]; 1 says nothing, since no risk is above it.

    Raises:
        ValueError: if alpha or level is outside (0, 1), or n is too small for alpha.

    Example:
        At alpha 0.1 none of nine images may lose anything, which for all-or-nothing risks of mean m has probability
        (1 - m) ** 9; it is 0.005 at m = 1 - 0.005 ** (1 / 9).

        >>> round(risk_bound(0.1, 9, 0.005), 4), round(1 - 0.005 ** (1 / 9), 4)
        (0.445, 0.445)

    Source:
        Bates et al., Distribution-Free, Risk-Controlling Prediction Sets (JACM 2021), Theorem 1, at the level at which
        it gives conformal risk control's cutoff; Hoeffding, Probability inequalities for sums of bounded random
        variables (JASA 1963), proof of Theorem 1; Bentkus, On Hoeffding's inequalities (Annals of Probability 2004).
    """
    budget, needed = exact_level(alpha) * (n + 1) - 1, images_needed(alpha)
    if n < needed:
        raise ValueError(
            f"n must be at least {needed} for alpha={float(alpha)}, got {n}; "
            "it is the number of calibration images with foreground, and fewer promise nothing."
        )
    # Rounding in the tail is some 1e-8 of it for a million images.
    tolerated = _check_level(level) * (1 - 1e-6)
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        enough = least_shortfall(budget, n, middle) <= tolerated
        low, high = (low, middle) if enough else (middle, high)
    return high


def share_of_level(level: float, streams: int, restart: int = 0) -> float:
    r"""The level of one :class:`DriftWatch` among several that are watched together and begun anew after calibrations.

    .. math:: \frac{\text{level}}{\text{streams} \cdot (k + 1)(k + 2)}

    for the calibration number k = 0, 1, 2, ... Since :math:`\sum_k 1 / ((k + 1)(k + 2)) = 1`, the levels of all streams
    and all calibrations, however many there will be, add up to ``level``, and so bound the probability of any false
    alarm at all. The streams may depend on each other; the images of each calibration must be chosen without regard to
    the alarms before it.

    Args:
        level: tolerated probability of any false alarm, in (0, 1).
        streams: tests at a time, one per class and alpha, at least 1.
        restart: how many calibrations there were before this one, at least 0.

    Returns:
        The level for each of the tests.

    Raises:
        ValueError: if level is outside (0, 1), streams below 1 or restart below 0.

    Example:
        >>> share_of_level(0.01, streams=5), share_of_level(0.01, streams=5, restart=1)
        (0.001, 0.0003333333333333333)
    """
    if streams < 1 or restart < 0:
        raise ValueError(f"streams must be at least 1 and restart at least 0, got {streams} and {restart}.")
    return _check_level(level) / (streams * (restart + 1) * (restart + 2))


def _check_level(level: float) -> float:
    """Return ``level`` as a Python float, or say why it is none."""
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}; it is the tolerated probability of a false alarm.")
    return float(level)
