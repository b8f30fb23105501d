# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Networks: the threshold predictor, the scorers, and the segmenter that carries its calibration."""

from __future__ import annotations

from monai_coat.networks.adaptive_segmenter import AdaptiveSegmenter, ProbabilityActivation, unwrap_adaptive_segmenter
from monai_coat.networks.boundary_scorer import BoundaryDistanceScorer
from monai_coat.networks.calibrated_mask import CalibratedMask
from monai_coat.networks.deeplab import DeepLabV3Plus
from monai_coat.networks.expected_coverage_scorer import ExpectedCoverageScorer, IsotonicCalibration
from monai_coat.networks.expected_gap import ExpectedGapPredictor
from monai_coat.networks.linear_threshold import LinearThresholdPredictor
from monai_coat.networks.map_summaries import MapSummaries
from monai_coat.networks.pspnet import PSPNet
from monai_coat.networks.residual_encoder import EncoderDepth, ResidualEncoder
from monai_coat.networks.risk_scorer import PredictedRiskScorer
from monai_coat.networks.scorers import MarginScorer, ProbabilityScorer, ScoreSpace, TrivialScorer
from monai_coat.networks.sinet import SINet
from monai_coat.networks.sketch_margins import SketchMargins
from monai_coat.networks.stratified_scorer import StratifiedScorer
from monai_coat.networks.threshold_predictor import PredictorBackbone, ThresholdPredictor
from monai_coat.networks.weights import load_weights, save_weights

__all__ = [
    "AdaptiveSegmenter",
    "BoundaryDistanceScorer",
    "CalibratedMask",
    "DeepLabV3Plus",
    "EncoderDepth",
    "ExpectedCoverageScorer",
    "ExpectedGapPredictor",
    "IsotonicCalibration",
    "LinearThresholdPredictor",
    "MapSummaries",
    "MarginScorer",
    "PSPNet",
    "PredictedRiskScorer",
    "PredictorBackbone",
    "ProbabilityActivation",
    "ProbabilityScorer",
    "ResidualEncoder",
    "SINet",
    "ScoreSpace",
    "SketchMargins",
    "StratifiedScorer",
    "ThresholdPredictor",
    "TrivialScorer",
    "load_weights",
    "save_weights",
    "unwrap_adaptive_segmenter",
]
