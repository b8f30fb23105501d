# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The pinball loss of thresholds, whose derivative along the threshold is the false negative rate minus alpha."""

from __future__ import annotations

import torch
from monai.utils import LossReduction
from torch import Tensor

from monai_coat.functional import exact_level, foreground_scores
from monai_coat.losses._margin_loss import MarginLoss

__all__ = ["ThresholdPinballLoss"]


class ThresholdPinballLoss(MarginLoss):
    r"""Pinball loss of foreground margins.

    .. math:: L = \frac{1}{|Y|} \sum_{j \in Y} \max(-s_j, 0) + \alpha\, s_j,
        \qquad \frac{\partial L}{\partial \hat\tau} = \mathrm{FNR}(\hat\tau) - \alpha

    per image and channel, of margins :math:`s_j = g(p_j) - g(\hat\tau(X))`; the derivative is along
    :math:`g(\hat\tau)`. It is the integral of FNR minus its target: convex in the threshold, with a gradient that
    nowhere dies away and no temperature. What it drives to zero is the mean of FNR minus alpha over images that the
    predictor cannot tell apart, where COAT's loss weighs their distances.

    Args:
        alpha: tolerated mean false negative rate, in (0, 1).
        include_background: whether channel 0 counts.
        reduction: "mean" or "sum" over images and channels with foreground; "none" gives ``(B, C)`` with 0 for others.

    Raises:
        ValueError: if ``alpha`` is out of range; when called, if shapes differ, scores are not finite, or labels hold
            anything but 0 and 1.

    Example:
        >>> loss = ThresholdPinballLoss(alpha=0.25)
        >>> round(float(loss(torch.tensor([[[-0.4, 0.8]]]), torch.ones(1, 1, 2))), 4)
        0.25

    Source:
        AA-CRC (AISTATS 2025), equation 10, integrated in closed form; here for any predictor.
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
        """The loss ``(B, C)``; ``labels=None`` takes margins of a foreground sketch."""
        if labels is None:
            return (torch.relu(-scores) + self.alpha * scores).mean(-1)
        values, shape = foreground_scores(scores, labels)
        return torch.stack([(torch.relu(-v) + self.alpha * v).mean() for v in values]).reshape(shape)
