# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Cross-validation conformal risk control: few images, which serve for learning and for calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

from monai_coat.calibration.guarantees.base import MeanGuarantee, images_for
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.risks.base import Risk, check_risk
from monai_coat.calibration.risks.false_negative import FalseNegativeRate
from monai_coat.calibration.statistics.base import Solution, Statistic
from monai_coat.functional import exact_level
from monai_coat.functional.checks import check_count

__all__ = ["CrossRisk"]


@dataclass(frozen=True)
class CrossRisk(MeanGuarantee):
    r"""The mean risk of a new image is at most ``alpha``, where scorers have learned from the calibration images.

    The n images are in K folds of m each. K scorers are fitted, each without one fold, by a rule that treats all images
    alike; an image is scored by the one that has not seen it. The set of a new image is the union of the K scorers'
    sets: its score is the largest of theirs, :class:`~monai_coat.scorers.FoldedScorer`. The cutoff is

    .. math:: \hat c = \max\Big\{c : \sum_{i=1}^{n} L_i(c) + m \le \alpha\,(n + m)\Big\}.

    Then :math:`E[L_\text{new}(\hat c)] \le \alpha` over new images that are, with m - 1 more, exchangeable with the n,
    as independent draws are.

    Proof. The new image and m - 1 that nobody sees are fold K + 1. Of an image in fold k, let the least loss be the
    smallest of its losses by the K scorers that are fitted without k and without one other fold l. All folds being of
    one size, these least losses are exchangeable over the (K + 1) m images, so that at the last cutoff c* at which they
    add up to at most alpha (K + 1) m, the new image's has a mean of at most alpha. Of the n, the loss by the scorer
    without k and K + 1 is measured, and is no less than the least; of fold K + 1 each is at most 1: the cutoff above is
    at most c*. Without K + 1 and l the scorers are the K that are used, whose union loses no more than each of them
    does. As the loss rises with the cutoff, it is at most the least loss at c*.

    Images that do not count for a class are in folds too: n is then smaller, and m as before. With folds of two sizes
    the images of large ones may lose more than those of small ones, and the new image is in a large one. So m must be
    the size of every fold: where K does not divide the number of images, all scorers learn from the rest, which is left
    out of the statistic. With fewer images than folds, each is a fold.

    Args:
        risk: what one image loses, in [0, 1], rising with the cutoff.
        alpha: tolerated mean risk, in (0, 1); read as the decimal that it prints as.
        folds: number K of folds, at least (1 - alpha) / alpha: fewer could not promise anything.
        class_names: what messages and the words of the promise call the classes.

    Raises:
        TypeError: if ``risk`` is no risk or falls with the cutoff, where a union would lose more; or ``folds`` is no
            whole number.
        ValueError: if ``alpha`` is outside (0, 1), or there are too few folds for it.

    Example:
        >>> import torch
        >>> guarantee = CrossRisk(FalseNegativeRate(), alpha=0.3, folds=5)
        >>> statistic = guarantee.statistic()
        >>> statistic.update(torch.rand(20, 1, 16), torch.ones(20, 1, 16))
        >>> guarantee.budget(20), guarantee.calibrate(statistic).risk[0] <= 3.2 / 20
        (Fraction(16, 5), True)

    Source:
        Cohen, Park, Simeone and Shamai, Cross-Validation Conformal Risk Control (ISIT 2024, arXiv 2401.11974), Theorem
        1; Barber et al., Predictive inference with the jackknife+ (AoS 2021), whose minmax form this is.
    """

    name: ClassVar[str] = "cross_risk"
    of_parts: ClassVar[bool] = False
    risk: Risk = field(default_factory=FalseNegativeRate)
    alpha: float = 0.1
    folds: int = 20
    class_names: Sequence[str] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        check_risk(self.risk)
        if not self.risk.rises or not self.risk.monotone:
            raise TypeError(
                f"risk must rise with the cutoff, so that a union of sets loses no more than each, got "
                f"{self.risk.key!r}; take one such as false_negative_rate."
            )
        check_count(self.folds, "folds", 2)
        level = exact_level(self.alpha)
        if level * self.folds < 1 - level:
            raise ValueError(
                f"folds must be at least {math.ceil((1 - level) / level)} with alpha={float(self.alpha)}, got "
                f"{self.folds}, with which not even predicting everything could be promised; take more, or raise alpha."
            )

    @property
    def promise(self) -> str:
        """The mean of the risk, and the level."""
        return f"{self.risk.expected_words} <= {float(self.alpha)}"

    @property
    def limits(self) -> str:
        """Of which sets it is, and what it is not."""
        return (
            f"This holds for the union of the sets of all {self.folds} scorers, of images that are drawn as the "
            "calibration's were, and is not a promise about any single image, nor about images from elsewhere."
        )

    def scope_over(self, units: str) -> str:
        """Over new images, with the union of sets."""
        return (
            f"on average over new {units}, drawn as the n used were, by the union of the sets of {self.folds} scorers, "
            "each fitted without one fold of these"
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """The number of folds."""
        return {"folds": self.folds}

    @property
    def images_needed(self) -> int:
        """The fewest images that count with which anything can be promised, each in a fold of its own."""
        return images_for(lambda n: self.budget_of(n, self.folds))

    def budget(self, n: int) -> Fraction:
        """The level of n images and a fold more, less the most that this can lose; where all images count."""
        return self.budget_of(n, n)

    def budget_of(self, n: int, images: int) -> Fraction:
        """:meth:`budget` of n images that count, among all images in the folds."""
        fold = math.ceil(Fraction(images, self.folds))
        return exact_level(self.alpha) * (n + fold) - fold

    def solve(self, statistic: Statistic) -> tuple[Solution, ...]:
        """The most useful cutoff of each class; see :meth:`MeanGuarantee.solve`."""
        images = statistic.n[0] + statistic.n_empty[0]
        return statistic.solve(lambda n: self.budget_of(n, images))

    def _check_enough(self, statistic: Statistic) -> None:
        """Refuse folds of two sizes, and fewer images than anything can be promised with."""
        images, most = statistic.n[0] + statistic.n_empty[0], max(statistic.n)
        if images > self.folds and images % self.folds:
            raise ValueError(
                f"images must be in {self.folds} folds of one size, got {images}; let all scorers learn from "
                f"{images % self.folds} of them that are left out of the statistic, or take another number of folds."
            )
        if self.budget_of(most, images) < 0:
            raise ValueError(
                f"alpha={float(self.alpha)} needs more calibration {self.units} than {most} of {images} in "
                f"{self.folds} folds; leave out images that do not count, take more folds, or raise alpha."
            )

    def _lack(self, count: int) -> str:
        return f"{count} {self.units} are too few for {self.folds} folds"

    def check(self, result: CalibrationResult) -> None:
        """Refuse a result whose risk is above the budget, but for the rounding of the mean.

        Raises:
            ValueError: naming the largest risk that would do.
        """
        rows = zip(result.n, result.n_empty, result.risk, result.promised, strict=True)
        for n, empty, risk, promised in rows:
            budget = float(self.budget_of(n, n + empty))
            if promised and risk * n > budget + 1e-12 * n:
                raise ValueError(
                    f"risk must be at most {budget / n:.6g} with {self.promise!r}, n = {n} and {self.folds} folds, got "
                    f"{risk:.6g}: these images do not support the promise"
                )
