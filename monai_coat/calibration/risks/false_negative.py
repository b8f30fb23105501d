# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The false negative rate: what is missed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from monai_coat.calibration.risks.base import Risk
from monai_coat.calibration.statistics.shares import CriticalScores
from monai_coat.functional import false_negative_rate, foreground_scores

__all__ = ["FalseNegativeRate"]


@dataclass(frozen=True)
class FalseNegativeRate(Risk):
    r"""The share of an image's foreground that the prediction set misses, of each class by itself.

    .. math:: \mathrm{FNR} = \frac{|\{j \in Y : s_j < c\}|}{|Y|}

    It rises with the cutoff. Images without the class are left out.

    Example:
        >>> import torch
        >>> FalseNegativeRate().image_risk(torch.tensor([[[0.2, 0.7, 0.9]]]), torch.tensor([[[0, 1, 1]]]), 0.8)
        tensor([[0.5000]], dtype=torch.float64)
    """

    name: ClassVar[str] = "false_negative_rate"

    @property
    def phrase(self) -> str:
        """In a sentence."""
        return "the share of the foreground that is missed"

    @property
    def words(self) -> str:
        """FNR."""
        return "FNR"

    def image_risk(self, scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
        """False negative rates ``(B, C)``; see :meth:`Risk.image_risk`."""
        return false_negative_rate(scores, labels, cutoff)

    def critical_scores(self, scores: Tensor, labels: Tensor) -> CriticalScores:
        """The foreground's scores; see :meth:`Risk.critical_scores`."""
        return foreground_scores(scores, labels)
