# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""COAT's loss: the distance of an image's soft true positive rate from its target."""

from __future__ import annotations

from monai.utils import LossReduction
from torch import Tensor

from monai_coat.functional import soft_true_positive_rate, target_coverage
from monai_coat.functional.checks import check_temperature
from monai_coat.losses._margin_loss import MarginLoss

__all__ = ["SoftTPRLoss"]


class SoftTPRLoss(MarginLoss):
    r"""Differentiable miscoverage loss.

    .. math:: L = \Big( \frac{1}{|Y|} \sum_{j \in Y} \sigma(s_j / T) - (1 - \alpha) \Big)^2

    per image and channel, of margins :math:`s_j = p_j - \hat\tau(X)`; then the reduction. With ``power=1`` the distance
    itself, whose sum is the soft coverage gap. Images without foreground
    carry no gradient and no weight. Only foreground is touched: the cost follows the foreground, not the volume.

    Args:
        alpha: tolerated mean false negative rate, in (0, 1).
        temperature: T > 0 in the unit of the scores. Too small and the gradient dies away from the threshold, too large
            and the soft rate is no longer the rate.
        include_background: whether channel 0 counts. Masks of foreground classes alone, as this package has them,
            have no background channel.
        reduction: "mean" or "sum" over images and channels with foreground; "none" gives ``(B, C)`` with 0 for others.
        power: 2 as published, or 1.

    Raises:
        ValueError: if ``alpha``, ``temperature`` or ``power`` is out of range; when called, if shapes differ, scores
            are not finite, or labels hold anything but 0 and 1.

    Example:
        >>> import torch
        >>> loss = SoftTPRLoss(alpha=0.25, temperature=0.1)
        >>> float(loss(torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[1, 0]]])))
        0.0625

    Source:
        COAT (ICLR 2026), differentiable miscoverage loss.
    """

    def __init__(
        self,
        alpha: float = 0.1,
        temperature: float = 0.05,
        include_background: bool = True,
        reduction: LossReduction | str = LossReduction.MEAN,
        power: int = 2,
    ) -> None:
        super().__init__(include_background, reduction)
        if power not in (1, 2):
            raise ValueError(f"power must be 1 or 2, got {power}.")
        self.power = power
        self.target = target_coverage(alpha)
        self.temperature = check_temperature(temperature)

    def per_image(self, scores: Tensor, labels: Tensor | None) -> Tensor:
        """Distance to the target ``(B, C)``; ``labels=None`` takes margins of a foreground sketch."""
        distance = soft_true_positive_rate(scores, labels, self.temperature) - self.target
        return distance**2 if self.power == 2 else distance.abs()
