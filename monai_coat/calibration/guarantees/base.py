# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The base of all guarantees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import ClassVar

from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.risks.base import Risk
from monai_coat.calibration.statistics.base import Budget, Statistic

__all__ = ["Guarantee", "MeanGuarantee", "images_for"]


class Guarantee(ABC):
    """What is promised about a risk over new images.

    A new guarantee is one file with a subclass and a row in this folder's table: handlers, configs, commands and the
    comparison take the object.

    Attributes:
        risk: what one image loses.
        alpha: the tolerated level, in (0, 1).
    """

    name: ClassVar[str]
    """Name in artifacts, configs and commands."""
    risk: Risk
    alpha: float

    @property
    @abstractmethod
    def promise(self) -> str:
        """The promise as a formula, such as ``E[FNR] <= 0.1``."""

    def statistic(self) -> Statistic:
        """An empty statistic that the guarantee can be computed from."""
        return self.risk.statistic()

    @abstractmethod
    def calibrate(self, statistic: Statistic) -> CalibrationResult:
        """Find the cutoffs that keep the promise.

        Args:
            statistic: of the calibration images, made by :meth:`statistic` or another of the same risk.

        Returns:
            The cutoff per class, with what is promised.

        Raises:
            TypeError: if the statistic is of another risk.
            ValueError: if it holds no image, or too few of a class.
        """


class MeanGuarantee(Guarantee):
    """A guarantee that follows from the sum of the calibration images' risks: within a budget, it holds."""

    @abstractmethod
    def budget(self, n: int) -> Fraction:
        """Sum of the risks of n images that is tolerated, rising with n; negative where n is too small."""

    def calibrate(self, statistic: Statistic) -> CalibrationResult:
        """The most useful cutoffs within the budget; see :meth:`Guarantee.calibrate`."""
        if statistic.measures != self.risk.key:
            raise TypeError(
                f"statistic must be one of the risk {self.risk.key!r}, got {type(statistic).__name__}, which is of "
                f"{statistic.measures!r}; use guarantee.statistic()."
            )
        if not statistic.n:
            raise ValueError("statistic must hold at least one image, got none; call update(scores, labels) first.")
        for index, (n, n_empty) in enumerate(zip(statistic.n, statistic.n_empty, strict=True)):
            which = f" of class {index}" if len(statistic.n) > 1 and not self.risk.joint else ""
            if self.budget(n) < 0:  # not even predicting everything could be promised to meet the level
                raise ValueError(
                    f"alpha={float(self.alpha)} needs at least {images_for(self.budget)} calibration "
                    f"{self.risk.counted}{which}, got {n} ({n_empty} {self.risk.left_out} were left out); enlarge the "
                    "calibration set or raise alpha."
                )
        solutions = statistic.solve(self.budget)
        remarks = dict.fromkeys(found.remark for found in solutions if found.remark)
        promise = f"{self.promise} on average over new {self.risk.counted}, exchangeable with the n used"
        return CalibrationResult(
            cutoff=tuple(found.cutoff for found in solutions),
            alpha=float(self.alpha),
            n=statistic.n,
            n_empty=statistic.n_empty,
            risk=tuple(found.risk for found in solutions),
            guarantee="; ".join([promise, *remarks]),
            controls=self.risk.key,
            kind=self.name,
        )


def images_for(budget: Budget) -> int:
    """The fewest images whose budget is not negative, by doubling and bisection."""
    high = 1
    while budget(high) < 0:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if budget(middle) >= 0 else (middle, high)
    return high
