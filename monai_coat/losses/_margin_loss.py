# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The base of losses on margin maps: channels, images without foreground, reduction."""

from __future__ import annotations

from abc import abstractmethod

import torch
from monai.utils import LossReduction
from torch import Tensor
from torch.nn.modules.loss import _Loss

from monai_coat.functional.foreground import plain

__all__: list[str] = []


class MarginLoss(_Loss):
    """A loss that is one number per image and channel; images without foreground have no weight in it."""

    def __init__(self, include_background: bool = True, reduction: LossReduction | str = LossReduction.MEAN) -> None:
        super().__init__(reduction=LossReduction(reduction).value)
        self.include_background = include_background

    @abstractmethod
    def per_image(self, scores: Tensor, labels: Tensor | None) -> Tensor:
        """The loss ``(B, C)``, NaN where an image has no foreground."""

    def forward(self, scores: Tensor, labels: Tensor | None) -> Tensor:
        """The reduced loss of margin maps ``(B, C, *spatial)`` and masks of the same shape."""
        if not self.include_background:
            if scores.shape[1] == 1:
                raise ValueError(
                    "include_background=False needs at least two channels, got one; a single channel is foreground."
                )
            scores, labels = scores[:, 1:], labels if labels is None else labels[:, 1:]
        loss = self.per_image(scores, labels)
        absent = torch.isnan(loss.detach())
        if bool(absent.any()):
            # The sum of no scores is zero, and joins the loss to their graph also where no image has foreground.
            loss = loss.masked_fill(absent, 0.0) + plain(scores)[:0].sum()
        if self.reduction == LossReduction.NONE.value:
            return loss
        total = loss.sum()
        return total / (~absent).sum().clamp(min=1) if self.reduction == LossReduction.MEAN.value else total
