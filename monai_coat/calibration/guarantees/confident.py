# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Risk-controlling prediction sets: with high probability, this calibration keeps the risk at most alpha."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from monai_coat.calibration.guarantees.base import MeanGuarantee
from monai_coat.calibration.guarantees.search import solve_by
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.risks.base import Risk, check_risk
from monai_coat.calibration.risks.false_negative import FalseNegativeRate
from monai_coat.calibration.statistics.base import Solution, Statistic
from monai_coat.functional import (
    betting_evidence,
    binomial_budget,
    exact_level,
    hinge_budget,
    hoeffding_bentkus_budget,
)
from monai_coat.functional.checks import check_delta

__all__ = ["BOUNDS", "ConfidentRisk", "complement"]

BOUNDS: Mapping[str, Callable[[int, float, float], Fraction] | None] = {
    "hoeffding_bentkus": hoeffding_bentkus_budget,
    "hinge": hinge_budget,
    "binomial": binomial_budget,
    "betting": None,
}
"""From n, alpha and delta to the sum of risks that is tolerated; None where the sum does not decide."""


@dataclass(frozen=True)
class ConfidentRisk(MeanGuarantee):
    r"""In all but a share ``delta`` of calibrations, the mean risk of new images is at most ``alpha``.

    .. math:: P\big(E[L(\hat c) \mid \hat c] \le \alpha\big) \ge 1 - \delta

    :class:`~monai_coat.calibration.ExpectedRisk` keeps the mean risk at alpha on average over calibrations, so that
    about half of all calibrations are above it; this one keeps it in all but a share delta of them, for each class by
    itself, at the price of larger sets. It asks for independent draws, where the other asks for exchangeable images.

    The cutoff is the last at which an upper confidence bound of the mean risk is at most alpha:

    - ``hoeffding_bentkus``: from the mean risk alone, so that binned and federated statistics serve;
    - ``hinge``: the same from a bound that is never worse, see :func:`~monai_coat.functional.hinge_p_value`;
    - ``binomial``: exact, of risks that are 0 or 1, such as :class:`~monai_coat.calibration.Exceeds`;
    - ``betting``: from the risk of each image, which is the better the less these differ.

    The risk goes one way with the cutoff, which is therefore chosen on the same images without a price.

    Args:
        risk: what one image loses, in [0, 1].
        alpha: tolerated mean risk, in (0, 1); read as the decimal that it prints as.
        delta: tolerated probability that a calibration does not keep it, in (0, 1).
        bound: one of ``BOUNDS``; named in the words.
        class_names: what messages and the words of the promise call the classes.

    Raises:
        TypeError: if ``risk`` is no risk, or a level no number.
        ValueError: if ``alpha`` or ``delta`` is outside (0, 1), the bound is none, or it is binomial and the risk takes
            other values than 0 and 1.

    Example:
        >>> import torch
        >>> guarantee = ConfidentRisk(FalseNegativeRate(), alpha=0.2, delta=0.1)
        >>> statistic = guarantee.statistic()
        >>> statistic.update(torch.rand(60, 1, 16), torch.ones(60, 1, 16))
        >>> guarantee.promise, guarantee.calibrate(statistic).risk[0] < 0.2
        ('P(E[FNR] <= 0.2) >= 0.9', True)

    Source:
        Bates et al., Distribution-Free, Risk-Controlling Prediction Sets (JACM 2021), Theorem 1; Waudby-Smith and
        Ramdas, Estimating means of bounded random variables by betting (JRSS B 2024).
    """

    name: ClassVar[str] = "confident_risk"
    risk: Risk = field(default_factory=FalseNegativeRate)
    alpha: float = 0.1
    delta: float = 0.05
    bound: str = "hoeffding_bentkus"
    class_names: Sequence[str] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        check_risk(self.risk)
        exact_level(self.alpha)
        check_delta(self.delta)
        if self.bound not in BOUNDS:
            raise ValueError(f"bound must be one of {', '.join(BOUNDS)}, got {self.bound!r}; correct the name.")
        if self.bound == "binomial" and not self.risk.binary:
            raise ValueError(
                f"bound must be hoeffding_bentkus, hinge or betting for {self.risk.key!r}, got binomial, which is of "
                "risks that are 0 or 1, such as Exceeds(risk, tolerance)."
            )

    @property
    def promise(self) -> str:
        """The probability that the mean of the risk keeps the level."""
        return f"P({self.risk.expected_words} <= {float(self.alpha)}) >= {complement(self.delta)}"

    @property
    def lead(self) -> str:
        """In how many calibrations."""
        return f"In all but {100 * self.delta:g} of 100 calibrations like this one: "

    def scope_over(self, units: str) -> str:
        """Over calibrations, the mean being over images."""
        return (
            f"over draws of the n calibration images, the mean being over new {units}, drawn as they were "
            f"and independently (bound: {self.bound})"
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """Probability of failure, and bound."""
        return {"delta": float(self.delta), "bound": self.bound}

    def budget(self, n: int) -> Fraction:
        """The largest sum of risks whose bound is at most alpha; of bets, what is tolerated whatever the risks are."""
        of_sum = BOUNDS[self.bound]
        if of_sum is not None:
            return of_sum(n, self.alpha, self.delta)
        return Fraction(0 if self._keeps(np.zeros(n)) else -1)

    def solve(self, statistic: Statistic) -> tuple[Solution, ...]:
        """The last cutoff whose bound is at most alpha, of each class."""
        if BOUNDS[self.bound] is not None:
            return statistic.solve(self.budget)
        return solve_by(statistic, self._keeps, self.risk.rises)

    def _keeps(self, risks: NDArray[np.float64]) -> bool:
        """Whether these risks are evidence enough that their mean is at most alpha."""
        return betting_evidence(risks, self.alpha) >= -math.log(self.delta)

    def check(self, result: CalibrationResult) -> None:
        """Refuse a result whose risk is above what its bound allows; see :meth:`Guarantee.check`.

        Of bets, risks that are all equal have the smallest bound for their mean: what even they do not keep is refused.
        """
        if BOUNDS[self.bound] is not None:
            return super().check(result)
        for n, risk, promised in zip(result.n, result.risk, result.promised, strict=True):
            if promised and not self._keeps(np.full(n, max(0.0, risk - 1e-12))):
                raise ValueError(f"risk must keep {self.promise!r} with n = {n}, got {risk:.6g}")
        return None


def complement(delta: float) -> float:
    """One less a decimal, as a decimal."""
    return float(1 - Fraction(str(float(delta))))
