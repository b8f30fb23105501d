# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MEG of either edition in the polyp bundle: fitted, calibrated and used; and every other scorer in a configuration."""

from __future__ import annotations

import pytest
from monai.bundle import ConfigParser

from monai_coat.calibration import load_calibration
from monai_coat.data import group_names
from monai_coat.networks import load_weights
from monai_coat.scorers import ExpectedGapScorer, MarginScorer, Scorer

SCORERS = [
    {"_target_": "monai_coat.scorers.ProbabilityScorer"},
    {"_target_": "monai_coat.scorers.ExpectedCoverageScorer"},
    {"_target_": "monai_coat.scorers.BoundaryDistanceScorer"},
    {"_target_": "monai_coat.scorers.ExpectedGapScorer"},
    {"_target_": "monai_coat.scorers.PlacedScorer", "scorer": {"_target_": "monai_coat.scorers.ProbabilityScorer"}},
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
@pytest.mark.parametrize("method", ["meg", "meg2"])
def test_meg_is_fitted_calibrated_and_evaluated_beside_the_others(calibrated_run, method):
    calibrated_run.run("fit", method=method)
    calibrated_run.run("calibrate", method=method)
    result = load_calibration(calibrated_run.folder / f"models/calibration_{method}.json")
    assert result.method == method
    tables = calibrated_run.folder / f"with_{method}"
    calibrated_run.run("evaluate", methods=["crc", method], results_dir=str(tables))
    assert f"| {method} |" in (tables / "table.md").read_text()
    parser = calibrated_run.workflow("calibrate", method=method).parser
    scorer = parser.get_parsed_content("network_def").scorer
    assert isinstance(scorer, MarginScorer if method == "meg" else ExpectedGapScorer)
    load_weights(scorer, calibrated_run.folder / f"models/scorer_{method}.pt")
    assert bool(getattr(scorer, "predictor", scorer).fitted)


@pytest.mark.bundle
def test_the_second_edition_knows_the_groups_of_its_images(calibrated_run):
    parser = calibrated_run.run("fit", method="meg2").parser
    samples = parser.get_parsed_content("fit::dataset").data
    scorer = parser.get_parsed_content("trained")
    assert parser.get_parsed_content("fit::groups") == group_names(samples)
    belongs = scorer.groups[: len(samples)].tolist()
    for one, first in zip(group_names(samples), belongs, strict=True):
        assert [place for place, name in enumerate(group_names(samples)) if name == one] == [
            place for place, group in enumerate(belongs) if group == first
        ]


@pytest.mark.parametrize("config", SCORERS, ids=lambda config: config["_target_"].rpartition(".")[2])
def test_every_scorer_stands_in_a_network_of_a_configuration(config):
    network = {
        "_target_": "monai_coat.networks.AdaptiveSegmenter",
        "segmenter": {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 1, "kernel_size": 1},
        "scorer": config,
    }
    built = ConfigParser(network).get_parsed_content()
    assert isinstance(built.scorer, Scorer)
