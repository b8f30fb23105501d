# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Margins over predicted thresholds: each image has its own threshold."""

from __future__ import annotations

import torch
from monai.utils import StrEnum
from torch import Tensor, nn

from monai_coat.functional import expected_coverage_scores, logit_scores
from monai_coat.scorers.base import Scorer

__all__ = ["MarginScorer", "ScoreSpace"]


class ScoreSpace(StrEnum):
    """The ruler along which an image's threshold is predicted and shifted; each keeps the order of its pixels."""

    PROBABILITY = "probability"
    LOGIT = "logit"
    EXPECTED_COVERAGE = "expected_coverage"


class MarginScorer(Scorer):
    r"""The score is the margin :math:`g(p_j) - g(\hat\tau(X))`: each image has its own threshold, as in AT and COAT.

    The ruler :math:`g` decides what one calibrated shift of all thresholds means. In the space "probability" it is the
    identity, as published. In "logit" it is the log odds, and a shift moves thresholds near 0 and 1 less than those
    between. In "expected_coverage" scores are those of
    :func:`~monai_coat.functional.expected_coverage_scores`, the predictor gives one minus the share of the map's mass
    that is to be taken, and a shift moves all images by the same share.

    Args:
        predictor: module that maps image and probability map to thresholds ``(B, C)`` in [0, 1], such as
            :class:`~monai_coat.scorers.ThresholdPredictor`.
        space: one of :class:`ScoreSpace`.

    Raises:
        ValueError: if ``space`` is unknown.

    Example:
        >>> from monai_coat.scorers import ThresholdPredictor
        >>> scorer = MarginScorer(ThresholdPredictor(spatial_dims=2, in_channels=3), space="logit")
        >>> scorer(torch.rand(2, 3, 32, 32), torch.rand(2, 1, 32, 32)).shape
        torch.Size([2, 1, 32, 32])
    """

    def __init__(self, predictor: nn.Module, space: ScoreSpace | str = ScoreSpace.PROBABILITY) -> None:
        super().__init__()
        if space not in list(ScoreSpace):
            raise ValueError(f"space must be one of {', '.join(ScoreSpace)}, got {space!r}.")
        self.predictor = predictor
        self.space = str(ScoreSpace(space))

    def forward(self, image: Tensor, probs: Tensor) -> Tensor:
        """Margins ``(B, C, *spatial)`` in float32."""
        thresholds = self.thresholds(image, probs)
        if self.space == "logit":
            probs, thresholds = logit_scores(probs), logit_scores(thresholds)
        elif self.space == "expected_coverage":
            probs = expected_coverage_scores(probs)
        return probs.float() - thresholds.reshape(list(thresholds.shape) + [1] * (probs.dim() - 2))

    def thresholds(self, image: Tensor, probs: Tensor) -> Tensor:
        """Predicted thresholds ``(B, C)`` in float32, in [0, 1]: probabilities, or shares of the expected coverage."""
        thresholds: Tensor = self.predictor(image, probs)
        return thresholds.float()

    @torch.jit.unused
    def calibrated_threshold(self, image: Tensor, probs: Tensor, cutoff: Tensor) -> Tensor:
        """Thresholds ``(B, C)`` in the unit of :meth:`thresholds` at which margins cross ``cutoff``."""
        thresholds, cutoff = self.thresholds(image, probs), cutoff.to(probs.device)
        if self.space == ScoreSpace.LOGIT:
            return torch.sigmoid(logit_scores(thresholds) + cutoff)
        return (thresholds + cutoff).clamp(0, 1)
