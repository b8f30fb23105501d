# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A promise about new images that differ from the calibration's in a way that is stated: covariate shift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

from monai_coat.calibration.guarantees.base import MeanGuarantee
from monai_coat.calibration.guarantees.expected import ExpectedRisk
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.risks.base import Risk
from monai_coat.calibration.statistics.base import Solution, Statistic
from monai_coat.calibration.statistics.units import WeightedStatistic
from monai_coat.functional import exact_level

__all__ = ["Weighted"]


@dataclass(frozen=True)
class Weighted(MeanGuarantee):
    r"""The expected risk of new images that are more often of some kinds than the calibration's, by a known factor.

    With weight w(x) how many times more often images like x are to come than they were calibrated on, and W at least as
    large as any of these, the cutoff of a risk that rises with it is

    .. math:: \hat c = \max\Big\{c : \sum_{i=1}^{n} w_i L_i(c) + W \le \alpha\,\Big(\sum_{i=1}^{n} w_i + W\Big)\Big\},

    and the expected risk of a new image is at most alpha as far as the weights are right: masks of images that look
    alike must be drawn alike in both populations. Weights that were estimated make the promise an estimate, too; the
    words say so. Few images with large weights tell little: where the effective number of images,
    :math:`(\sum w)^2 / \sum w^2`, is too small for the level, calibration is refused.

    Args:
        guarantee: an :class:`~monai_coat.calibration.ExpectedRisk`.
        key: entry of the metadata that holds the weight of an image; the mean of all should be about 1.
        largest: W, which no new image's weight may exceed. It is chosen before the calibration images are seen, for
            example as where estimated weights are cut.

    Raises:
        TypeError: if the guarantee is another, or its risk is no share of scores.
        ValueError: if ``largest`` is not positive.

    Example:
        >>> import torch
        >>> from monai_coat.calibration import FalseNegativeRate
        >>> guarantee = Weighted(ExpectedRisk(FalseNegativeRate(), alpha=0.2), key="weight", largest=2)
        >>> statistic = guarantee.statistic()
        >>> weights = [{"weight": 0.5 + index % 2} for index in range(20)]
        >>> statistic.update(torch.rand(20, 1, 8), torch.ones(20, 1, 8), weights)
        >>> guarantee.calibrate(statistic).n
        (20,)

    Source:
        Tibshirani et al., Conformal prediction under covariate shift (NeurIPS 2019); Angelopoulos et al., Conformal
        Risk Control (ICLR 2024), section 4.1.
    """

    name: ClassVar[str] = "weighted"
    guarantee: ExpectedRisk
    key: str = "weight"
    largest: float = 10.0
    class_names: Sequence[str] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if type(self.guarantee) is not ExpectedRisk or not self.risk.is_share:
            raise TypeError(
                f"guarantee must be ExpectedRisk of a share of scores, such as false_negative_rate, got "
                f"{self.guarantee!r}; weights are known for no other."
            )
        if not 0 < self.largest < float("inf"):
            raise ValueError(f"largest must be a positive number, got {self.largest}; no new image may weigh more.")

    @property
    def risk(self) -> Risk:  # type: ignore[override]
        """What one image loses."""
        return self.guarantee.risk

    @property
    def alpha(self) -> float:  # type: ignore[override]
        """The tolerated level."""
        return self.guarantee.alpha

    @property
    def promise(self) -> str:
        """The formula of the guarantee."""
        return self.guarantee.promise

    @property
    def limits(self) -> str:
        """What the promise rests on."""
        return (
            f"This holds for images that differ from the calibration's by the weights in {self.key!r} only, as far as "
            "these are right, and is not a promise about any single image."
        )

    def scope_over(self, units: str) -> str:
        """Over images of the other population."""
        return (
            f"on average over new {units} that differ from the n used as {self.key!r} says, of a weight of at most "
            f"{self.largest:g}, as far as the weights are right"
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """The key and the largest weight."""
        return {"guarantee": self.guarantee.name, "key": self.key, "largest": float(self.largest)}

    @property
    def keys(self) -> tuple[str, ...]:
        """The entry that holds the weight."""
        return (self.key,)

    def statistic(self) -> WeightedStatistic:
        """Critical scores, with the weight of each image."""
        return WeightedStatistic(self.risk, self.key)

    def budget(self, n: int) -> Fraction:
        """Of n images of weight 1: the level of all, less what the new one can lose."""
        largest = Fraction(str(float(self.largest)))
        return exact_level(self.alpha) * (n + largest) - largest

    def solve(self, statistic: Statistic) -> tuple[Solution, ...]:
        """The most useful cutoff of each class; see :meth:`MeanGuarantee.solve`.

        Raises:
            TypeError: if the statistic knows no weights.
            ValueError: if a weight is above the largest, or the effective number of images is too small.
        """
        if not isinstance(statistic, WeightedStatistic) or statistic.key != self.key:
            raise TypeError(
                f"statistic must know the {self.key!r} of each image, got {type(statistic).__name__}; use "
                "guarantee.statistic(). Sums over images cannot be weighted afterwards."
            )
        if statistic.largest_weight > self.largest:
            raise ValueError(
                f"{self.key} must be at most {self.largest:g}, got {statistic.largest_weight:g}; cut weights there, or "
                "raise largest."
            )
        level, largest = exact_level(self.alpha), Fraction(str(float(self.largest)))
        budgets = [level * (statistic.total_weight(index) + largest) - largest for index in range(len(statistic.n))]
        for index, budget in enumerate(budgets):
            effective = statistic.effective_n(index)
            if (budget >= 0 and effective < self.guarantee.images_needed) or max(budgets) < 0:
                raise ValueError(
                    f"alpha={float(self.alpha)} needs at least {self.guarantee.images_needed} images of equal weight, "
                    f"got {statistic.n[index]} that tell as much as {effective:.1f} of {self.called(index)}, and a "
                    f"largest weight of {self.largest:g}; add images like those to come, or lower largest."
                )
        return statistic.solve_weighted(budgets)

    def check(self, result: CalibrationResult) -> None:
        """Refuse a risk above the level; the weights are not in the result.

        Raises:
            ValueError: if there is one.
        """
        for risk, promised in zip(result.risk, result.promised, strict=True):
            if promised and risk > float(self.alpha):
                raise ValueError(f"risk must be at most {float(self.alpha)}, got {risk:.6g}")
