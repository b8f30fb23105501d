# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A promise with a rule beside it: which images are referred to somebody, and how many at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from monai_coat.calibration.guarantees.around import Around
from monai_coat.calibration.guarantees.base import Guarantee, MeanGuarantee
from monai_coat.calibration.guarantees.confident import ConfidentRisk
from monai_coat.calibration.guarantees.expected import ExpectedRisk
from monai_coat.calibration.referral import rule_of
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.statistics.base import LARGEST, Statistic
from monai_coat.calibration.statistics.sketched import SketchedStatistic
from monai_coat.functional import exact_level

__all__ = ["Referring"]


@dataclass(frozen=True)
class Referring(Around, Guarantee):  # type: ignore[override]
    """A guarantee, and with it a rule that refers at most a share of new images to somebody.

    The result is that of the guarantee, with a :class:`~monai_coat.calibration.Referral` in it: of a new image, every
    answer then says "refer" or "accept", and why.

    Args:
        guarantee: an :class:`~monai_coat.calibration.ExpectedRisk`, or a
            :class:`~monai_coat.calibration.ConfidentRisk` with a bound of the mean.
        share: tolerated share of new images that are referred, in (0, 1).

    Raises:
        TypeError: if the guarantee is another: units other than images, and bets, would need another proof.
        ValueError: if ``share`` is outside (0, 1).

    Example:
        >>> import torch
        >>> from monai_coat.calibration import FalseNegativeRate
        >>> guarantee = Referring(ExpectedRisk(FalseNegativeRate(), alpha=0.2), share=0.25)
        >>> statistic = guarantee.statistic()
        >>> statistic.update(torch.rand(20, 1, 64), torch.ones(20, 1, 64))
        >>> guarantee.calibrate(statistic).referral.words
        'at most 25 in 100 are referred to somebody'
    """

    guarantee: MeanGuarantee
    share: float = 0.1
    class_names: Sequence[str] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        kind = type(self.guarantee)
        if kind not in (ExpectedRisk, ConfidentRisk) or getattr(self.guarantee, "bound", "") == "betting":
            raise TypeError(
                "guarantee must be ExpectedRisk, or ConfidentRisk with a bound of the mean, for images to be referred, "
                f"got {self.guarantee!r}; leave the referral out."
            )
        exact_level(self.share)

    @property
    def name(self) -> str:  # type: ignore[override]
        """As of the guarantee."""
        return self.guarantee.name

    def opening(self, result: CalibrationResult) -> str:
        """As of the guarantee."""
        return self.guarantee.opening(result)

    def in_words(self, result: CalibrationResult) -> str:
        """The guarantee's sentence; see :meth:`Guarantee.in_words`."""
        return self.guarantee.in_words(result)

    @property
    def settings(self) -> Mapping[str, Any]:
        """As of the guarantee; the rule is in the result."""
        return self.guarantee.settings

    def statistic(self) -> SketchedStatistic:
        """The guarantee's statistic, with sketches of all images."""
        return SketchedStatistic(self.guarantee.statistic())

    def useful_levels(self, statistic: Statistic, floors: Sequence[float]) -> tuple[float | None, ...]:
        """As of the guarantee; see :meth:`Guarantee.useful_levels`."""
        return self.guarantee.useful_levels(statistic.statistic, floors)  # type: ignore[attr-defined]

    def calibrate(self, statistic: Statistic) -> CalibrationResult:
        """The guarantee's result with the rule; see :meth:`Guarantee.calibrate`.

        Raises:
            TypeError: if the statistic has no sketches.
            ValueError: if there are too few images for the rule, which takes more than the guarantee does.
        """
        if not isinstance(statistic, SketchedStatistic):
            raise TypeError(
                f"statistic must have sketches of images, got {type(statistic).__name__}; use guarantee.statistic()."
            )
        guarantee = self.guarantee
        if self.class_names and not guarantee.class_names:
            guarantee = replace(guarantee, class_names=self.class_names)  # type: ignore[type-var]
        result = guarantee.calibrate(statistic.statistic)
        self._check_numbers(result)
        found = statistic.statistic.solve(self._with_another)
        bounded = [self.risk.rises or self.guarantee.budget(n) + 1 < n for n in result.n]
        cutoffs = [each.cutoff if kept else -LARGEST for each, kept in zip(found, bounded, strict=True)]
        rule = rule_of(statistic.sketches, cutoffs, self.share)
        return replace(result, referral=rule, guarantee=f"{result.guarantee}; of new images {rule.words}")

    def _check_numbers(self, result: CalibrationResult) -> None:
        few = [n for n, kept in zip(result.n, result.promised, strict=True) if kept and self._with_another(n) < 0]
        if few:
            raise ValueError(
                f"share={float(self.share)} of images can be promised to be referred with a tolerated sum of risks of "
                f"at least 1 only, got {few[0]} images, which tolerate less at alpha={float(self.alpha)}; add images."
            )

    def _with_another(self, n: int) -> Fraction:
        """The budget with which sets are at least as large as with one more image, whatever that is.

        Of a risk that rises with the cutoff, that is as if one more image were lost; of one that falls, as if one more
        loss were tolerated, unless every image may then be lost and nothing bounds the set.
        """
        budget = self.guarantee.budget(n)
        if budget < 0:  # a class without a promise, whose set is the same whatever comes
            return budget
        if self.risk.rises:
            return budget - 1
        return budget + 1 if budget + 1 < n else budget
