# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The probability as the score: one threshold for all images."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from monai_coat.scorers.base import Scorer

__all__ = ["ProbabilityScorer"]


class ProbabilityScorer(Scorer):
    """The score is the probability: one threshold for all images, as in conformal risk control.

    Example:
        >>> ProbabilityScorer()(torch.rand(1, 3, 4, 4), torch.full((1, 1, 4, 4), 0.5)).unique()
        tensor([0.5000])
    """

    adapts: ClassVar[bool] = False

    def forward(self, image: Tensor, probs: Tensor) -> Tensor:
        """Scores ``(B, C, *spatial)``, the probabilities."""
        return probs.float()

    @torch.jit.unused
    def calibrated_threshold(self, image: Tensor, probs: Tensor, cutoff: Tensor) -> Tensor:
        """The cutoff itself, for each image, within [0, 1]."""
        return cutoff.to(probs.device).clamp(0, 1).expand(probs.shape[:2])
