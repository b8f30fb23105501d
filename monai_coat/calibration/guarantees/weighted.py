# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A promise about new images that differ from the calibration's in a way that is stated: covariate shift."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, ClassVar

from monai_coat.calibration.guarantees.around import Around
from monai_coat.calibration.guarantees.base import MeanGuarantee
from monai_coat.calibration.guarantees.expected import ExpectedRisk
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.statistics.base import Solution, Statistic
from monai_coat.calibration.statistics.units import WeightedStatistic, weight_of
from monai_coat.functional import exact_level

__all__ = ["Weighted"]


@dataclass(frozen=True)
class Weighted(Around, MeanGuarantee):  # type: ignore[override]
    r"""The expected risk of new images that are more often of some kinds than the calibration's, by a known factor.

    With weight w(x) how many times more often images like x are to come than they were calibrated on, and W at least as
    large as any of these, the cutoff of a risk that rises with it is

    .. math:: \hat c = \max\Big\{c : \sum_{i=1}^{n} w_i L_i(c) + W \le \alpha\,\Big(\sum_{i=1}^{n} w_i + W\Big)\Big\},

    and the expected risk of a new image is at most alpha as far as the weights are right: masks of images that look
    alike must be drawn alike in both populations. Weights that were estimated make the promise an estimate, too; the
    words say so. Calibration is refused where even no loss at all would be too much,
    :math:`\alpha \sum w < (1 - \alpha) W`. Few images of large weight tell little: the message has the number of images
    of equal weight that would tell as much, :math:`(\sum w)^2 / \sum w^2`.

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
        if not self.class_names:
            object.__setattr__(self, "class_names", self.guarantee.class_names)

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
        return self._budget(Fraction(n))

    def _budget(self, total: Fraction) -> Fraction:
        """Of images of this weight together."""
        largest = weight_of(self.largest, math.ceil)
        return exact_level(self.alpha) * (total + largest) - largest

    def solve(self, statistic: Statistic) -> tuple[Solution, ...]:
        """The most useful cutoff of each class; see :meth:`MeanGuarantee.solve`."""
        weighted = self._weighted(statistic)
        classes = range(len(weighted.n))
        found = weighted.solve_weighted([self._budget(weighted.total_weight(index)) for index in classes])
        effective = ", ".join(f"{weighted.effective_n(index):.1f}" for index in classes)
        remark = f"the n images tell as much as {effective} of equal weight"
        return tuple(replace(solution, remark=remark) for solution in found)

    def _weighted(self, statistic: Statistic) -> WeightedStatistic:
        """The statistic, if it knows the weights of this guarantee.

        Raises:
            TypeError: if it does not.
        """
        if not isinstance(statistic, WeightedStatistic) or statistic.key != self.key:
            raise TypeError(
                f"statistic must know the {self.key!r} of each image, got {type(statistic).__name__}; use "
                "guarantee.statistic(). Sums over images cannot be weighted afterwards."
            )
        return statistic

    def _check_enough(self, statistic: Statistic) -> None:
        """Refuse a weight above the largest, and less weight than anything can be promised with."""
        weighted = self._weighted(statistic)
        if weighted.largest_weight > weight_of(self.largest, math.ceil):
            raise ValueError(
                f"{self.key} must be at most {self.largest:g}, got {float(weighted.largest_weight):g}; cut weights "
                "there, or raise largest."
            )
        most = max(range(len(weighted.n)), key=weighted.total_weight)
        if self._budget(weighted.total_weight(most)) < 0:
            raise ValueError(
                f"alpha={float(self.alpha)} needs at least {self.guarantee.images_needed} images of the largest "
                f"weight, {self.largest:g}, or more of less, got {weighted.n[most]} of {self.called(most)}, of weight "
                f"{float(weighted.total_weight(most)):g} together, that tell as much as "
                f"{weighted.effective_n(most):.1f} of equal weight; add images like those to come, or lower largest."
            )

    def _lack(self, count: int) -> str:
        return f"{count} {self.units} weigh too little"

    def check(self, result: CalibrationResult) -> None:
        """Refuse a risk above the level; the weights are not in the result.

        Raises:
            ValueError: if there is one.
        """
        for risk, promised in zip(result.risk, result.promised, strict=True):
            if promised and risk > float(self.alpha):
                raise ValueError(f"risk must be at most {float(self.alpha)}, got {risk:.6g}")
