# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The capped false positive ratio: what is falsely included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from monai_coat.calibration.risks.base import Risk
from monai_coat.calibration.statistics.false_positive import FalsePositiveStatistic
from monai_coat.calibration.statistics.shares import CriticalScores
from monai_coat.functional import false_positive_ratio, foreground_scores, highest_background
from monai_coat.functional.foreground import at_least_float32, plain

__all__ = ["FalsePositiveRatio"]


@dataclass(frozen=True)
class FalsePositiveRatio(Risk):
    r"""What a set holds beside the foreground, in sizes of the foreground and at most 1, of each class by itself.

    .. math:: \min\Big(1, \frac{|\{j \notin Y : s_j \ge c\}|}{|Y|}\Big)

    It falls as the cutoff rises. The set :math:`\{s \ge \hat c\}` of a calibrated cutoff is what can be called certain.
    **The cap is part of the promise.** The uncapped ratio has no bound, and nothing can be promised about its mean:
    one tiny object with a large false blob beside it outweighs all other images. Evaluation reports it beside.

    Where there is less background than foreground, the share is of the background. Images without the class, or
    without background, are left out.

    Example:
        >>> import torch
        >>> scores, labels = torch.tensor([[[0.9, 0.8, 0.7, 0.1]]]), torch.tensor([[[1, 0, 0, 0]]])
        >>> FalsePositiveRatio().image_risk(scores, labels, 0.5)
        tensor([[1.]], dtype=torch.float64)
    """

    name: ClassVar[str] = "false_positive_ratio"
    rises: ClassVar[bool] = False
    cap: ClassVar[int] = 1

    @property
    def phrase(self) -> str:
        """In a sentence."""
        return "what is falsely marked, in sizes of the structure and at most 1,"

    @property
    def words(self) -> str:
        """The ratio with its cap."""
        return f"min({self.cap}, false positives / foreground)"

    @property
    def counted(self) -> str:
        """Images that have both."""
        return "images with foreground and background"

    @property
    def left_out(self) -> str:
        """Images that have one of them only."""
        return "that lack either"

    def image_risk(self, scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
        """Capped ratios ``(B, C)``; see :meth:`Risk.image_risk`."""
        return false_positive_ratio(scores, labels, cutoff, self.cap)

    def critical_scores(self, scores: Tensor, labels: Tensor) -> CriticalScores:
        """Negative scores of the highest background, as much as there is foreground; see :class:`Risk`."""
        return foreground_scores(-at_least_float32(plain(scores)), highest_background(scores, labels))

    def statistic(self) -> FalsePositiveStatistic:
        """The highest background scores of each image."""
        return FalsePositiveStatistic()
