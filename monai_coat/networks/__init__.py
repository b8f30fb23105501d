# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Networks: the threshold predictor, the scorers, and the segmenter that carries its calibration."""

from __future__ import annotations

from monai_coat.networks.adaptive_segmenter import AdaptiveSegmenter, ProbabilityActivation, unwrap_adaptive_segmenter
from monai_coat.networks.map_summaries import MapSummaries
from monai_coat.networks.scorers import MarginScorer, ProbabilityScorer
from monai_coat.networks.threshold_predictor import PredictorBackbone, ThresholdPredictor
from monai_coat.networks.weights import load_weights, save_weights

__all__ = [
    "AdaptiveSegmenter",
    "MapSummaries",
    "MarginScorer",
    "PredictorBackbone",
    "ProbabilityActivation",
    "ProbabilityScorer",
    "ThresholdPredictor",
    "load_weights",
    "save_weights",
    "unwrap_adaptive_segmenter",
]
