# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The base of all guarantees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any, ClassVar

from monai_coat.calibration.reach import smallest_useful_level
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.risks.base import Risk
from monai_coat.calibration.statistics.base import LARGEST, Budget, Solution, Statistic
from monai_coat.calibration.statistics.copies import warn_of_copies
from monai_coat.functional import exact_level

__all__ = ["Guarantee", "MeanGuarantee", "images_for", "sentence_of"]


class Guarantee(ABC):
    """What is promised about a risk over new images.

    A new guarantee is one file with a subclass and a row in this folder's table: handlers, configs, commands and the
    comparison take the object.

    Attributes:
        risk: what one image loses.
        alpha: the tolerated level, in (0, 1).
        class_names: what messages and the words of the promise call the classes; by number if there are none.
    """

    name: ClassVar[str]
    """Name in artifacts, configs and commands."""
    risk: Risk
    alpha: float
    class_names: Sequence[str] = ()

    @property
    @abstractmethod
    def promise(self) -> str:
        """The promise as a formula, such as ``E[FNR] <= 0.1``."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What it was made with beside risk and level: plain values, for the artifact."""
        return {}

    @property
    def keys(self) -> tuple[str, ...]:
        """Metadata that its statistic asks of every image."""
        return ()

    def opening(self, result: CalibrationResult) -> str:
        """How the words of a result begin: the promise, and what it is over."""
        return self.promise

    def in_words(self, result: CalibrationResult) -> str:
        """The promise as one sentence: of whom it is, and what it is not.

        Args:
            result: what :meth:`calibrate` returned.
        """
        return f"{self.lead}{sentence_of(self.risk, self.alpha, self.units)} {self.limits}"

    @property
    def lead(self) -> str:
        """What stands before the sentence: how sure it is, or for whom it is repeated."""
        return ""

    @property
    def units(self) -> str:
        """What n is a number of, and the average is over, in words."""
        return self.risk.counted

    @property
    def limits(self) -> str:
        """What the promise is not."""
        return (
            "This holds for images that come as the calibration's did, and is not a promise about any single image, "
            "nor about images from elsewhere."
        )

    def check(self, result: CalibrationResult) -> None:  # noqa: B027  nothing to check is a choice
        """Refuse a result that its own calibration images do not support.

        Raises:
            ValueError: saying what contradicts the promise.
        """

    def statistic(self) -> Statistic:
        """An empty statistic that the guarantee can be computed from."""
        return self.risk.statistic()

    def useful_levels(self, statistic: Statistic, floors: Sequence[float]) -> tuple[float | None, ...]:
        """Of each class the :func:`~monai_coat.calibration.smallest_useful_level`; None where it is not known.

        Args:
            statistic: of the calibration images.
            floors: of each class what a useful cutoff is above.
        """
        return (None,) * len(floors)

    @abstractmethod
    def calibrate(self, statistic: Statistic) -> CalibrationResult:
        """Find the cutoffs that keep the promise.

        Args:
            statistic: of the calibration images, made by :meth:`statistic` or another of the same risk.

        Returns:
            The cutoff per class, with what is promised.

        Raises:
            TypeError: if the statistic is of another risk.
            ValueError: if it holds no image, or too few of every class. One class with too few among others gets no
                promise, and the words say so.
        """


class MeanGuarantee(Guarantee):
    """A guarantee that follows from the sum of the calibration images' risks: within a budget, it holds."""

    of_parts: ClassVar[bool] = True
    """Whether it can be promised of groups or of patients, by the statistic of these."""

    @abstractmethod
    def budget(self, n: int) -> Fraction:
        """Sum of the risks of n images that is tolerated, rising with n; negative where n is too small."""

    def calibrate(self, statistic: Statistic) -> CalibrationResult:
        """The most useful cutoffs within the budget; see :meth:`Guarantee.calibrate`."""
        self._check(statistic)
        warn_of_copies(statistic.images)
        solutions = self.solve(statistic)
        remarks = dict.fromkeys(found.remark for found in solutions if found.remark)
        promise = f"{self.promise} {self.scope}"
        return CalibrationResult(
            cutoff=tuple(found.cutoff for found in solutions),
            alpha=float(self.alpha),
            n=statistic.n,
            n_empty=statistic.n_empty,
            risk=tuple(found.risk for found in solutions),
            guarantee="; ".join([promise, *remarks, *self._without_promise(statistic.n, solutions)]),
            controls=self.risk.key,
            kind=self.name,
            settings=self.settings,
        )

    def opening(self, result: CalibrationResult) -> str:
        """How the words of a result begin: the promise, and what it is over."""
        return f"{self.promise} {self.scope}"

    def at(self, alpha: float) -> MeanGuarantee:
        """The guarantee of another level."""
        return replace(self, alpha=alpha)  # type: ignore[type-var]

    def useful_levels(self, statistic: Statistic, floors: Sequence[float]) -> tuple[float | None, ...]:
        """By calibrations at other levels; see :meth:`Guarantee.useful_levels`."""

        @cache
        def cutoffs(alpha: float) -> tuple[float, ...]:
            return tuple(found.cutoff for found in self.at(alpha).solve(statistic))

        return tuple(
            smallest_useful_level(lambda alpha, index=index: cutoffs(alpha)[index], floor)  # type: ignore[misc]
            for index, floor in enumerate(floors)
        )

    @property
    def images_needed(self) -> int:
        """The fewest images that count with which anything can be promised."""
        return images_for(self.budget)

    @property
    def scope(self) -> str:
        """What the promise is over, in words: what follows its formula."""
        return self.scope_over(self.risk.counted)

    def scope_over(self, units: str) -> str:
        """:attr:`scope`, over units that are called so."""
        return f"on average over new {units}, exchangeable with the n used"

    def solve(self, statistic: Statistic) -> tuple[Solution, ...]:
        """The most useful cutoff of each class that keeps the promise."""
        return statistic.solve(self.budget)

    def check(self, result: CalibrationResult) -> None:
        """Refuse a result whose risk is above the budget, but for the rounding of the mean.

        Raises:
            ValueError: naming the largest risk that would do.
        """
        for n, risk, promised in zip(result.n, result.risk, result.promised, strict=True):
            budget = float(self.budget(n))
            if promised and risk * n > budget + 1e-12 * n:
                raise ValueError(
                    f"risk must be at most {budget / n:.6g} with {self.promise!r} and n = {n}, got {risk:.6g}: these "
                    "images do not support the promise"
                )

    def _check(self, statistic: Statistic) -> None:
        if not isinstance(statistic, Statistic):
            raise TypeError(
                f"statistic must be a Statistic, got {type(statistic).__name__}; of what was collected, load_statistic "
                "gave or merge_statistics made it is .statistic, and maps go to calibrate_maps."
            )
        if not self.risk.monotone:
            raise TypeError(
                f"risk must go one way with the cutoff, got {self.risk.key!r}, which may fall and rise; promise it by "
                "LearnThenTest."
            )
        if statistic.measures != self.risk.key:
            raise TypeError(
                f"statistic must be one of the risk {self.risk.key!r}, got {type(statistic).__name__}, which is of "
                f"{statistic.measures!r}; use guarantee.statistic()."
            )
        if not statistic.n:
            raise ValueError("statistic must hold at least one image, got none; call update(scores, labels) first.")
        if self.class_names and len(self.class_names) != len(statistic.n):
            raise ValueError(
                f"class_names must name the {len(statistic.n)} classes of the scores, got "
                f"{', '.join(self.class_names)}; name each once."
            )
        self._check_enough(statistic)

    def _check_enough(self, statistic: Statistic) -> None:
        """Refuse a statistic with which nothing can be promised of any class."""
        most = max(range(len(statistic.n)), key=lambda index: statistic.n[index])
        if self.budget(statistic.n[most]) < 0:  # not even predicting everything could be promised to meet the level
            remedy = "enlarge the calibration set or raise alpha"
            if not any(statistic.n) and self.risk.rises:
                remedy = "look at the masks, and at what is foreground in them (--mask-threshold)"
            which = f" of {self.called(most)}" if len(statistic.n) > 1 and not self.risk.joint else ""
            raise ValueError(
                f"alpha={float(self.alpha)} needs at least {self.images_needed} calibration {self.units}"
                f"{which}, got {statistic.n[most]} ({statistic.n_empty[most]} {self.risk.left_out} were left out); "
                f"{remedy}."
            )

    def _without_promise(self, n: Sequence[int], solutions: Sequence[Solution]) -> list[str]:
        """What the words say of each class that has too few images."""
        outcome = "everything" if self.risk.rises else "empty"
        return [
            f"no promise about {self.called(index)}, whose set is {outcome}: {self._lack(count)}"
            for index, (count, found) in enumerate(zip(n, solutions, strict=True))
            if abs(found.cutoff) == LARGEST
        ]

    def _lack(self, count: int) -> str:
        """Why nothing is promised about a class with so many images."""
        return f"{count} of the {self.images_needed} {self.units} that it takes"

    def called(self, index: int) -> str:
        """What messages and words call a class."""
        return repr(self.class_names[index]) if self.class_names else f"class {index}"


def sentence_of(risk: Risk, alpha: float, units: str) -> str:
    """A risk's level in a sentence.

    Example:
        >>> from monai_coat.calibration import FalseNegativeRate
        >>> sentence_of(FalseNegativeRate(), 0.1, "images with foreground")
        'Over new images with foreground, the share of the foreground that is missed is at most 0.1 on average.'
    """
    if risk.binary:
        return f"Of new {units}, at most {float(100 * exact_level(alpha)):g} in 100 are such that {risk.phrase}."
    return f"Over new {units}, {risk.phrase} is at most {float(alpha):g} on average."


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
