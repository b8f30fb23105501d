# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The audit of a promise: what the risks of labelled images at the calibrated cutoff say about their mean."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_coat.calibration.drift import risk_bound
from monai_coat.calibration.mean_tests import excess_p_value, mean_interval, shortfall_p_value, upper_bound
from monai_coat.functional import exact_level
from monai_coat.functional.checks import check_delta

__all__ = ["AuditedPromise", "MeanAudit", "audit_mean"]

_SMALLEST = 1e-12
_MOST_IMAGES = 100_000  # beyond them "more images" is no advice
_MULTIPLES = (1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class AuditedPromise:
    """What was promised about a mean risk, as far as its audit has to know.

    Attributes:
        alpha: tolerated mean risk, in (0, 1).
        n: calibration images behind the promise.
        delta: share of calibrations that need not keep it; None if it is kept on average over calibrations.
        binary: whether the risk of an image is 0 or 1 by its definition, not merely in what was seen.
    """

    alpha: float
    n: int
    delta: float | None = None
    binary: bool = False

    def limit(self, level: float) -> float:
        """The largest mean risk that does not speak against the promise.

        It is alpha if the promise is about this very calibration. If it is one on average over calibrations, this one
        may be above alpha and nothing broken: then it is the :func:`~monai_coat.calibration.risk_bound`, which one
        calibration exceeds with probability at most ``level``, or alpha if that is more.

        Example:
            >>> round(AuditedPromise(0.1, 50).limit(0.025), 3), AuditedPromise(0.1, 50, delta=0.05).limit(0.025)
            (0.203, 0.1)
        """
        alpha = float(exact_level(self.alpha))
        return alpha if self.delta is not None else max(alpha, risk_bound(self.alpha, self.n, level))


@dataclass(frozen=True)
class MeanAudit:
    """What an audit found; see :func:`audit_mean`.

    Attributes:
        promise: what was promised.
        level: tolerated probability of a wrong "broken", and of a wrong "kept".
        n: images that count.
        n_left_out: images that do not.
        mean: their mean risk.
        interval: two-sided 95 % confidence interval of the mean risk of images like these.
        upper: upper confidence bound of it, at 1 - ``level``.
        limit: the largest mean risk that does not speak against the promise.
        p_value: of the hypothesis that the promise holds.
        more: how many more images would tell, roughly, if risks go on like this; None if they tell now, or if not even
            a hundred thousand would.
        redrawn: p-value of :func:`~monai_coat.calibration.redrawing_p_value`; None if it is not known what the
            calibration images lose.
    """

    promise: AuditedPromise
    level: float
    n: int
    n_left_out: int
    mean: float
    interval: tuple[float, float]
    upper: float
    limit: float
    p_value: float
    more: int | None
    redrawn: float | None = None

    @property
    def verdict(self) -> str:
        """``broken``, ``kept`` or ``open``."""
        if self.p_value <= self.level or self.is_another_kind:
            return "broken"
        return "kept" if self.upper <= self.limit < 1 else "open"

    @property
    def is_another_kind(self) -> bool:
        """Whether images lose more than alpha, and more than images like the calibration's would by chance."""
        return self.redrawn is not None and self.redrawn <= self.level and self.interval[0] > self.promise.alpha

    @property
    def sentence(self) -> str:
        """The verdict in words, with the numbers that it rests on."""
        low, high = self.interval
        found = f"the mean risk of {self.n} images is {self.mean:.3f} (95 % interval {low:.3f} to {high:.3f})"
        return f"{self.verdict}: {found}; {_REASONS[self.verdict](self)}"


def audit_mean(risks: ArrayLike, promise: AuditedPromise, level: float = 0.05) -> MeanAudit:
    r"""Audit a promise about the mean risk on labelled images that nothing was learned from.

    A promise on average over calibrations (:class:`~monai_coat.calibration.ExpectedRisk`) is broken if the mean risk is
    above what one calibration exceeds with probability at most d, on evidence that misleads with probability at most d:

    .. math:: p = 2 \min\{d : p_{\text{excess}}(\text{limit}_d) \le d\}

    with :math:`p_{\text{excess}}(a)` of the hypothesis "the mean is at most a", :func:`excess_p_value`. As d grows, the
    limit falls, so that :math:`p \le u` if and only if the inequality holds at d = u / 2, which has probability at most
    u / 2 + u / 2 if calibration and audit images are independent draws from one population. A promise in all but a
    share delta of calibrations is about this very one: p is :math:`p_{\text{excess}}(\alpha)`, and where it is small,
    the promise is broken or this is one of that share.

    The promise is found kept if the upper confidence bound of the mean, at 1 - level, is at most the limit at d = level
    / 2, and open if it is neither. All bounds are by bets, exact at every number of images; of binary risks they are
    binomial.

    Args:
        risks: one for each image at the calibrated cutoff, in [0, 1], shape ``(n,)``; NaN if it does not count.
        promise: what was promised.
        level: tolerated probability of finding a promise broken that holds, in (0, 1).

    Returns:
        The verdict, with everything that it rests on.

    Raises:
        ValueError: if ``level`` is outside (0, 1), a risk is outside [0, 1], not 0 or 1 although the promise says so,
            or no image counts.

    Example:
        >>> promise = AuditedPromise(alpha=0.1, n=50)
        >>> [audit_mean([risk] * 60, promise).verdict for risk in (0.02, 0.2, 0.4)]
        ['kept', 'open', 'broken']

    Source:
        Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting (JRSS B 2024), section 4;
        Angelopoulos et al., Conformal Risk Control (ICLR 2024), for what is promised.
    """
    level, given = check_delta(level, "level"), np.asarray(risks, dtype=np.float64)
    values = given[~np.isnan(given)]
    if not values.size:
        raise ValueError(f"risks must be of at least one image that counts, got none of {given.size}; add images.")
    limit = promise.limit(level / 2)
    p_value = _promise_p_value(values, promise)
    upper = upper_bound(values, level, promise.binary)
    is_open = p_value > level and not upper <= limit < 1
    return MeanAudit(
        promise=promise,
        level=level,
        n=int(values.size),
        n_left_out=int(given.size - values.size),
        mean=math.fsum(values) / values.size,
        interval=mean_interval(values, binary=promise.binary),
        upper=upper,
        limit=limit,
        p_value=p_value,
        more=_images_more(values, promise, level) if is_open else None,
    )


def _promise_p_value(values: NDArray[np.float64], promise: AuditedPromise) -> float:
    """Of the hypothesis that the promise holds; by bisection of its logarithm, rounded up."""
    if promise.delta is not None:
        return excess_p_value(values, promise.alpha, promise.binary)
    low, high = math.log(_SMALLEST), math.log(0.5)
    if not _exceeds(values, promise, 0.5):
        return 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if _exceeds(values, promise, math.exp(middle)) else (middle, high)
    return 2 * math.exp(high)


def _exceeds(values: NDArray[np.float64], promise: AuditedPromise, chance: float) -> bool:
    return excess_p_value(values, promise.limit(chance), promise.binary) <= chance


def _images_more(values: NDArray[np.float64], promise: AuditedPromise, level: float) -> int | None:
    """How many times as many images of the same risks would tell, in steps."""
    side, limit = (level if promise.delta is not None else level / 2), promise.limit(level / 2)
    if limit >= 1:
        return None
    for multiple in _MULTIPLES:
        count = math.ceil(values.size * multiple)
        if count > _MOST_IMAGES:
            return None
        # Risks in ascending order, evenly thinned, stand for any number of images.
        many = np.sort(values)[(np.arange(count) * values.size) // count]
        if (
            excess_p_value(many, limit, promise.binary) <= side
            or shortfall_p_value(many, limit, promise.binary) <= level
        ):
            return count - values.size
    return None


def _why_broken(found: MeanAudit) -> str:
    if found.p_value > found.level:
        return (
            f"{found.promise.alpha} was promised, and images like the calibration's would lose so much by chance in "
            f"who calibrates with p = {found.redrawn:.2g}: these are of another kind"
        )
    if found.promise.delta is not None:
        return (
            f"at most {found.promise.alpha} was promised in all but a share {found.promise.delta} of calibrations "
            f"(p = {found.p_value:.2g}); these images are of another kind, or the calibration is one of that share"
        )
    return (
        f"{found.promise.alpha} was promised on average over calibrations, and chance in one on {found.promise.n} "
        f"images explains at most {found.limit:.3f} (p = {found.p_value:.2g})"
    )


def _why_kept(found: MeanAudit) -> str:
    alpha, at_most = found.promise.alpha, f"of images like these it is at most {found.upper:.3f}"
    if found.upper <= alpha:
        return f"{at_most}, and {alpha} was promised"
    words = f"{at_most}, not above the {found.limit:.3f} that chance in one calibration on {found.promise.n} explains"
    if found.interval[0] > alpha:
        return f"{words}; yet with this one calibration it is above {alpha}: calibrate on more images"
    return f"{words}; that it is at most {alpha} with this one calibration, they do not show"


def _why_open(found: MeanAudit) -> str:
    alpha, limit = found.promise.alpha, f"{found.limit:.3f}"
    if found.limit > alpha:
        limit = f"the {limit} that chance in a calibration on {found.promise.n} images explains"
    known = (
        f"it is above {alpha} with this one calibration, but there are" if found.interval[0] > alpha else "there are"
    )
    more = "not even many more would" if found.more is None else f"about {found.more} more would"
    return f"{known} too few images to tell whether it is above {limit} (p = {found.p_value:.2g}); {more}"


_REASONS = {"broken": _why_broken, "kept": _why_kept, "open": _why_open}
