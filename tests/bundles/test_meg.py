# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MEG in the polyp bundle: fitted, calibrated and used; and every other scorer in a configuration."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser

from monai_coat.calibration import load_calibration
from monai_coat.scorers import MarginScorer, Scorer

SCORERS = [
    {"_target_": "monai_coat.scorers.ProbabilityScorer"},
    {"_target_": "monai_coat.scorers.ExpectedCoverageScorer"},
    {"_target_": "monai_coat.scorers.BoundaryDistanceScorer"},
    {
        "_target_": "monai_coat.scorers.MarginScorer",
        "predictor": {
            "_target_": "monai_coat.scorers.ThresholdPredictor",
            "spatial_dims": 2,
            "in_channels": 3,
            "backbone": "none",
        },
        "space": "expected_coverage",
    },
    {
        "_target_": "monai_coat.scorers.MarginScorer",
        "predictor": {"_target_": "monai_coat.scorers.LinearThresholdPredictor"},
    },
    {"_target_": "monai_coat.scorers.PredictedRiskScorer"},
    {
        "_target_": "monai_coat.scorers.StratifiedScorer",
        "scorer": {
            "_target_": "monai_coat.scorers.ExpectedCoverageScorer",
            "calibrator": {"_target_": "monai_coat.scorers.IsotonicCalibration"},
        },
    },
]


@pytest.mark.bundle
def test_meg_is_fitted_calibrated_and_evaluated_beside_the_others(calibrated_run):
    calibrated_run.run("fit", method="meg")
    calibrated_run.run("calibrate", method="meg")
    result = load_calibration(calibrated_run.folder / "models/calibration_meg.json")
    assert result.method == "meg"
    calibrated_run.run("evaluate", methods=["crc", "meg"], results_dir=str(calibrated_run.folder / "with_meg"))
    assert "| meg |" in (calibrated_run.folder / "with_meg/table.md").read_text()
    parser = calibrated_run.workflow("calibrate", method="meg").parser
    scorer = parser.get_parsed_content("network_def").scorer
    assert isinstance(scorer, MarginScorer)
    scorer.load_state_dict(torch.load(calibrated_run.folder / "models/scorer_meg.pt", weights_only=True))
    assert bool(scorer.predictor.fitted)


@pytest.mark.parametrize("config", SCORERS, ids=lambda config: config["_target_"].rpartition(".")[2])
def test_every_scorer_stands_in_a_network_of_a_configuration(config):
    network = {
        "_target_": "monai_coat.networks.AdaptiveSegmenter",
        "segmenter": {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 1, "kernel_size": 1},
        "scorer": config,
    }
    built = ConfigParser(network).get_parsed_content()
    assert isinstance(built.scorer, Scorer)
