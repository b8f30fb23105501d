# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The predictor that takes every pixel, to which every table compares."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from monai_coat.scorers.base import Scorer

__all__ = ["PredictAllScorer"]


class PredictAllScorer(Scorer):
    """The score is 1 everywhere, so that every calibration predicts everything: the row that no method may look like.

    Its coverage is 1 on each image, its coverage gap exactly alpha, and its precision the share of foreground.

    Example:
        >>> PredictAllScorer()(torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 4)).unique()
        tensor([1.])
    """

    adapts: ClassVar[bool] = False

    def forward(self, image: Tensor, probs: Tensor) -> Tensor:
        """Scores ``(B, C, *spatial)``, all 1."""
        return torch.ones_like(probs, dtype=torch.float32)
