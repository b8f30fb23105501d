# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Margins of foreground sketches, on which a threshold predictor is trained without maps."""

from __future__ import annotations

from torch import Tensor, nn

from monai_coat.functional import logit_scores
from monai_coat.scorers.margin import MarginScorer, ScoreSpace
from monai_coat.scorers.predictors.threshold import ThresholdPredictor

__all__ = ["SketchMargins"]


class SketchMargins(nn.Module):
    """Margins of an image's foreground sketch, from summaries of its map: what a loss sees, without the map.

    The losses look at foreground scores alone and a predictor without backbone at summaries alone, so that each image
    is a few hundred numbers, made once by :class:`~monai_coat.transforms.MapSketchd`, whatever its size. An epoch takes
    milliseconds. What is trained is the scorer itself; the wrapper has no weights of its own.

    Args:
        scorer: scorer to train, in the space "probability" or "logit", with a
            :class:`~monai_coat.scorers.ThresholdPredictor` of the backbone "none".

    Raises:
        TypeError: if the scorer has another predictor.
        ValueError: if the predictor looks at images, or scores depend on more of the map than its foreground.

    Example:
        >>> import torch
        >>> scorer = MarginScorer(ThresholdPredictor(spatial_dims=3, in_channels=1, backbone="none"))
        >>> SketchMargins(scorer)(torch.rand(4, 30), torch.rand(4, 1, 512)).shape
        torch.Size([4, 1, 512])
    """

    def __init__(self, scorer: MarginScorer) -> None:
        super().__init__()
        predictor = getattr(scorer, "predictor", None)
        if not isinstance(predictor, ThresholdPredictor):
            raise TypeError(
                f"scorer must have a ThresholdPredictor, got {type(predictor).__name__}; others are trained on maps."
            )
        if predictor.has_backbone:
            raise ValueError("scorer's predictor must have the backbone 'none', got another; train it on maps.")
        if scorer.space == ScoreSpace.EXPECTED_COVERAGE:
            raise ValueError(
                "scorer must be in the space 'probability' or 'logit', got 'expected_coverage', whose scores depend on "
                "the whole map; train it on maps."
            )
        self.scorer = scorer

    def forward(self, summaries: Tensor, sketches: Tensor) -> Tensor:
        """Margins ``(B, C, K)`` of summaries ``(B, features)`` and sketches of probabilities ``(B, C, K)``."""
        thresholds: Tensor = self.scorer.predictor.of_summaries(summaries)  # type: ignore[operator]
        if self.scorer.space == ScoreSpace.LOGIT:
            return logit_scores(sketches) - logit_scores(thresholds)[..., None]
        return sketches - thresholds[..., None]
