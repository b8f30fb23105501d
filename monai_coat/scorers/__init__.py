# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scorers: from an image and its probability map to one number per pixel, larger meaning "include sooner"."""

from __future__ import annotations

from monai_coat.scorers.base import Scorer
from monai_coat.scorers.boundary_distance import BoundaryDistanceScorer
from monai_coat.scorers.distance_map import distance_map, margin_of
from monai_coat.scorers.expected_coverage import ExpectedCoverageScorer
from monai_coat.scorers.expected_gap import ExpectedGapScorer
from monai_coat.scorers.fitting.aa_crc import exact_thresholds, fit_linear_thresholds, linear_threshold_risk
from monai_coat.scorers.fitting.meg import fit_meg
from monai_coat.scorers.fitting.observed_curves import ThresholdObjective
from monai_coat.scorers.fitting.sketch_descent import fit_margins
from monai_coat.scorers.folded import FoldedScorer
from monai_coat.scorers.isotonic import IsotonicCalibration
from monai_coat.scorers.margin import MarginScorer, ScoreSpace
from monai_coat.scorers.methods import METHODS, FittedMethod, MethodRow, method_of
from monai_coat.scorers.placed import PlacedScorer
from monai_coat.scorers.predict_all import PredictAllScorer
from monai_coat.scorers.predicted_maps import PredictedMaps
from monai_coat.scorers.predicted_risk import PredictedRiskScorer
from monai_coat.scorers.predictors.expected_gap import ExpectedGapPredictor
from monai_coat.scorers.predictors.linear import LinearThresholdPredictor
from monai_coat.scorers.predictors.map_summaries import MapSummaries
from monai_coat.scorers.predictors.sketch_margins import SketchMargins
from monai_coat.scorers.predictors.threshold import PredictorBackbone, ThresholdPredictor
from monai_coat.scorers.probability import ProbabilityScorer
from monai_coat.scorers.scorer_config import scorer_of_config
from monai_coat.scorers.sketched_maps import NeedsMapsError, SketchedMaps
from monai_coat.scorers.stratified import StratifiedScorer

__all__ = [
    "METHODS",
    "BoundaryDistanceScorer",
    "ExpectedCoverageScorer",
    "ExpectedGapPredictor",
    "ExpectedGapScorer",
    "FittedMethod",
    "FoldedScorer",
    "IsotonicCalibration",
    "LinearThresholdPredictor",
    "MapSummaries",
    "MarginScorer",
    "MethodRow",
    "NeedsMapsError",
    "PlacedScorer",
    "PredictAllScorer",
    "PredictedMaps",
    "PredictedRiskScorer",
    "PredictorBackbone",
    "ProbabilityScorer",
    "ScoreSpace",
    "Scorer",
    "SketchMargins",
    "SketchedMaps",
    "StratifiedScorer",
    "ThresholdObjective",
    "ThresholdPredictor",
    "distance_map",
    "exact_thresholds",
    "fit_linear_thresholds",
    "fit_margins",
    "fit_meg",
    "linear_threshold_risk",
    "margin_of",
    "method_of",
    "scorer_of_config",
]
