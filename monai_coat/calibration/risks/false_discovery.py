# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The false discovery rate: the share of what is marked that is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from monai_coat.calibration.risks.base import Risk
from monai_coat.functional.set_size import set_counts

__all__ = ["FalseDiscoveryRate"]


@dataclass(frozen=True)
class FalseDiscoveryRate(Risk):
    r"""The share of the prediction set that is background, one minus the precision, of each class by itself.

    .. math:: \mathrm{FDR} = \frac{|\{j \notin Y : s_j \ge c\}|}{|\{j : s_j \ge c\}|}

    0 for an empty set: nothing in it is wrong. As the cutoff rises it tends to fall, but it can rise, where foreground
    leaves the set before background does. It is **not monotone**, has no critical scores, and a bound on its mean does
    not follow from conformal risk control. Images without the class are left out.

    Example:
        >>> scores, labels = torch.tensor([[[0.9, 0.8, 0.7]]]), torch.tensor([[[0, 1, 0]]])
        >>> [float(FalseDiscoveryRate().image_risk(scores, labels, cutoff)) for cutoff in (0.75, 0.85, 0.95)]
        [0.5, 1.0, 0.0]
    """

    name: ClassVar[str] = "false_discovery_rate"
    rises: ClassVar[bool] = False
    monotone: ClassVar[bool] = False

    @property
    def phrase(self) -> str:
        """In a sentence."""
        return "the share of what is marked that is wrong"

    @property
    def words(self) -> str:
        """FDR."""
        return "FDR"

    def image_risk(self, scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
        """False discovery rates ``(B, C)``; see :meth:`Risk.image_risk`."""
        hits, size, foreground = set_counts(scores, labels, cutoff)
        return torch.where(foreground > 0, (size - hits) / size.clamp(min=1), torch.nan)
