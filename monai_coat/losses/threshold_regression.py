# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""AT's loss: the squared distance of a predicted threshold from the ideal one."""

from __future__ import annotations

import torch
from monai.utils import LossReduction
from torch import Tensor

from monai_coat.functional import exact_level, ideal_threshold
from monai_coat.losses._margin_loss import MarginLoss

__all__ = ["ThresholdRegressionLoss"]


class ThresholdRegressionLoss(MarginLoss):
    r"""Regression on ideal thresholds, from margin maps alone.

    .. math:: L = (\tau^* - \hat\tau)^2

    per image and channel. The ideal threshold of margins :math:`p_j - \hat\tau` is :math:`\tau^* - \hat\tau`, so the
    loss is the square of :func:`~monai_coat.functional.ideal_threshold` of the scores.

    Args:
        alpha: tolerated mean false negative rate, in (0, 1).
        include_background: whether channel 0 counts.
        reduction: "mean" or "sum" over images and channels with foreground; "none" gives ``(B, C)`` with 0 for others.

    Raises:
        ValueError: if ``alpha`` is out of range; when called, if shapes differ, scores are not finite, or labels hold
            anything but 0 and 1.

    Example:
        >>> import torch
        >>> margins = torch.tensor([[[0.5, 0.25, -0.5]]])
        >>> float(ThresholdRegressionLoss(alpha=0.5)(margins, torch.ones(1, 1, 3)))
        0.0625

    Source:
        COAT (ICLR 2026), the AT baseline.
    """

    def __init__(
        self,
        alpha: float = 0.1,
        include_background: bool = True,
        reduction: LossReduction | str = LossReduction.MEAN,
    ) -> None:
        super().__init__(include_background, reduction)
        exact_level(alpha)
        self.alpha = float(alpha)

    def per_image(self, scores: Tensor, labels: Tensor | None) -> Tensor:
        """Squared ideal threshold of the margins ``(B, C)``; ``labels=None`` takes margins of a foreground sketch."""
        if labels is None:
            labels = ~torch.isnan(scores)
            scores = torch.where(labels, scores, 0.0)
        return ideal_threshold(scores, labels, self.alpha) ** 2
