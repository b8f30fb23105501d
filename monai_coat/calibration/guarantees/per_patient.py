# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A promise over patients, who are exchangeable where their images are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

from monai_coat.calibration.guarantees.around import Around
from monai_coat.calibration.guarantees.base import MeanGuarantee, sentence_of
from monai_coat.calibration.guarantees.growing import GrowingSet
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.statistics.base import Solution, Statistic
from monai_coat.calibration.statistics.units import PatientStatistic
from monai_coat.functional import exact_level

__all__ = ["PerPatient"]


@dataclass(frozen=True)
class PerPatient(Around, MeanGuarantee):  # type: ignore[override]
    r"""A guarantee over new patients, where a patient's risk is the mean over the patient's images.

    .. math:: L_p(c) = \frac{1}{|I_p|} \sum_{i \in I_p} L_i(c), \qquad n = \text{number of patients}

    Images of one patient are alike, so that calibration and new images are not exchangeable where patients have several
    each; patients are. A patient weighs 1, whether with one image or a hundred. Anything else that images share, such
    as the video that frames are of, may take the place of the patient.

    Args:
        guarantee: what is promised.
        key: entry of the metadata that names the patient.

    Raises:
        TypeError: if the guarantee is none of a risk's mean or asks for metadata itself, is of a set that grows, or its
            risk is no share of scores, such as that of the worst class.

    Example:
        >>> import torch
        >>> from monai_coat.calibration import ExpectedRisk, FalseNegativeRate
        >>> guarantee = PerPatient(ExpectedRisk(FalseNegativeRate(), alpha=0.5), key="patient")
        >>> statistic = guarantee.statistic()
        >>> statistic.update(torch.rand(4, 1, 8), torch.ones(4, 1, 8), [{"patient": name} for name in "aaab"])
        >>> guarantee.calibrate(statistic).n
        (2,)

    Source:
        Lee, Barber and Willett, Distribution-free inference with hierarchical data (2023), for groups of one weight.
    """

    name: ClassVar[str] = "per_patient"
    guarantee: MeanGuarantee
    key: str = "patient"
    class_names: Sequence[str] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        is_mean = isinstance(self.guarantee, MeanGuarantee)
        if not is_mean or self.guarantee.keys or not self.guarantee.of_parts:
            raise TypeError(
                f"guarantee must be one such as ExpectedRisk(risk, alpha), got {self.guarantee!r}; give the inner one."
            )
        if isinstance(self.guarantee, GrowingSet):
            raise TypeError(
                "guarantee must be of a set whose patients are complete, got GrowingSet: images that come later would "
                "change the risk of a patient who was counted; take ConfidentRisk, or one image of each patient."
            )
        if getattr(self.guarantee, "bound", "") == "binomial":
            raise TypeError(
                "guarantee must have a bound for means, got binomial, which is of risks that are 0 or 1: the mean over "
                "a patient's images is neither; take hinge."
            )
        if not self.risk.is_share:
            raise TypeError(
                f"risk must be a share of scores to have a mean over a patient's images, got {self.risk.key!r}; take "
                "false_negative_rate, or leave one image of each patient."
            )
        if not self.class_names:
            object.__setattr__(self, "class_names", self.guarantee.class_names)

    @property
    def lead(self) -> str:
        """As of the guarantee."""
        return self.guarantee.lead

    @property
    def units(self) -> str:
        """Patients with an image that counts."""
        return f"patients with {self.risk.counted}"

    @property
    def limits(self) -> str:
        """What a patient's risk is, and what the promise is not."""
        return f"The risk of a patient is the mean over the patient's images. {self.guarantee.limits}"

    def in_words(self, result: CalibrationResult) -> str:
        """The sentence over patients; see :meth:`Guarantee.in_words`."""
        words = sentence_of(self.risk, self.alpha, self.units)
        if self.risk.binary:
            level = float(100 * exact_level(self.alpha))
            words = (
                f"Of the images of a patient, on average over new {self.units}, at most {level:g} in 100 are such that "
                f"{self.risk.phrase}."
            )
        return f"{self.lead}{words} {self.limits}"

    def scope_over(self, units: str) -> str:
        """Over patients."""
        return self.guarantee.scope_over(f"patients, each with the mean over {self.key}'s {units}")

    @property
    def settings(self) -> Mapping[str, Any]:
        """What is promised of patients, and the key."""
        return {"guarantee": self.guarantee.name, "key": self.key, **self.guarantee.settings}

    @property
    def keys(self) -> tuple[str, ...]:
        """The entry that names the patient."""
        return (self.key,)

    def statistic(self) -> PatientStatistic:
        """Critical scores, with the patient of each image."""
        return PatientStatistic(self.risk, self.key)

    def budget(self, n: int) -> Fraction:
        """As of the guarantee, for n patients."""
        return self.guarantee.budget(n)

    def solve(self, statistic: Statistic) -> tuple[Solution, ...]:
        """The most useful cutoff of each class; see :meth:`MeanGuarantee.solve`."""
        if not isinstance(statistic, PatientStatistic) or statistic.key != self.key:
            raise TypeError(
                f"statistic must know the {self.key!r} of each image, got {type(statistic).__name__}; use "
                "guarantee.statistic(). Sums over images cannot be divided among patients."
            )
        return self.guarantee.solve(statistic)

    def check(self, result: Any) -> None:
        """As of the guarantee."""
        self.guarantee.check(result)
