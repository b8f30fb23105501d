# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scorers: from an image and its probability map to one number per pixel, larger meaning "include sooner"."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["MarginScorer", "ProbabilityScorer"]


class ProbabilityScorer(nn.Module):
    """The score is the probability: one threshold for all images, as in conformal risk control.

    Example:
        >>> ProbabilityScorer()(torch.rand(1, 3, 4, 4), torch.full((1, 1, 4, 4), 0.5)).unique()
        tensor([0.5000])
    """

    def forward(self, image: Tensor, probs: Tensor) -> Tensor:
        """Scores ``(B, C, *spatial)``, the probabilities."""
        return probs.float()

    def thresholds(self, image: Tensor, probs: Tensor) -> Tensor:
        """Zeros ``(B, C)``: no image has a threshold of its own."""
        return torch.zeros(probs.shape[:2], device=probs.device)


class MarginScorer(nn.Module):
    r"""The score is the margin :math:`p_j - \hat\tau(X)`: each image has its own threshold, as in AT and COAT.

    Args:
        predictor: module that maps image and probability map to thresholds ``(B, C)``, such as
            :class:`~monai_coat.networks.ThresholdPredictor`.

    Example:
        >>> from monai_coat.networks import ThresholdPredictor
        >>> scorer = MarginScorer(ThresholdPredictor(spatial_dims=2, in_channels=3))
        >>> scorer(torch.rand(2, 3, 32, 32), torch.rand(2, 1, 32, 32)).shape
        torch.Size([2, 1, 32, 32])
    """

    def __init__(self, predictor: nn.Module) -> None:
        super().__init__()
        self.predictor = predictor

    def forward(self, image: Tensor, probs: Tensor) -> Tensor:
        """Margins ``(B, C, *spatial)`` in float32."""
        thresholds = self.thresholds(image, probs)
        return probs.float() - thresholds.reshape(list(thresholds.shape) + [1] * (probs.dim() - 2))

    def thresholds(self, image: Tensor, probs: Tensor) -> Tensor:
        """Predicted thresholds ``(B, C)`` in float32, in probability units."""
        thresholds: Tensor = self.predictor(image, probs)
        return thresholds.float()
