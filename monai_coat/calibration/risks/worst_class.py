# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The false negative rate of the worst class: all classes of an image at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from monai_coat.calibration.risks.base import Risk
from monai_coat.calibration.statistics.worst_class import WorstClassStatistic
from monai_coat.functional import false_negative_rate

__all__ = ["WorstClassFalseNegativeRate"]


@dataclass(frozen=True)
class WorstClassFalseNegativeRate(Risk):
    r"""The false negative rate of that class of an image which is missed most.

    .. math:: \max_k \frac{|\{j \in Y_k : s_{kj} < c\}|}{|Y_k|}

    The maximum runs over the classes that the image contains. It rises with the cutoff, which is one number for all
    classes, so scores of different classes should mean the same, as margins over predicted thresholds do. Where
    :class:`~monai_coat.calibration.FalseNegativeRate` promises each class by itself, this promises all of them at once.
    Images that contain no class are left out.

    Example:
        >>> scores, labels = torch.tensor([[[0.2, 0.8], [0.5, 0.6]]]), torch.ones(1, 2, 2)
        >>> WorstClassFalseNegativeRate().image_risk(scores, labels, 0.4)
        tensor([[0.5000]], dtype=torch.float64)
    """

    name: ClassVar[str] = "worst_class_false_negative_rate"
    joint: ClassVar[bool] = True

    @property
    def phrase(self) -> str:
        """In a sentence."""
        return "the share of the foreground that is missed of the class that is missed most"

    @property
    def words(self) -> str:
        """FNR of the worst class."""
        return "FNR of the image's worst class"

    def image_risk(self, scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
        """The largest false negative rate ``(B, 1)``; see :meth:`Risk.image_risk`."""
        rates = false_negative_rate(scores, labels, cutoff)
        worst = rates.nan_to_num(-1.0).amax(1, keepdim=True)
        return torch.where(worst < 0, torch.nan, worst)

    def statistic(self) -> WorstClassStatistic:
        """The foreground scores of each image, its classes together."""
        return WorstClassStatistic()
