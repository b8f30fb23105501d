# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Certain and possible, by hand and against the sets that were calibrated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_coat.calibration import (
    CalibrationResult,
    ExpectedRisk,
    FalseNegativeRate,
    FalsePositiveRatio,
    PipelineIdentity,
    calibrate_maps,
    identity_of,
    risk_named,
    save_calibration,
)
from monai_coat.transforms import CertaintyMap, CertaintyMapd, ConformalMask

MISSED, WRONG = "false_negative_rate", "false_positive_ratio"


def calibration(cutoff, controls=MISSED, network="abc"):
    size = len(cutoff)
    identity = PipelineIdentity({"scorer": network})
    words = f"{risk_named(controls).expected_words} <= 0.1"
    return CalibrationResult(cutoff, 0.1, (99,) * size, (0,) * size, (0.09,) * size, words, "", identity, controls)


POSSIBLE, CERTAIN = calibration((0.25, 0.5)), calibration((0.75, 0.625), WRONG)


def test_labels_by_hand():
    #            neither, possible 0, certain 0, possible 1, both possible, possible 0 and certain 1, both certain
    scores = [[0.0, 0.5, 0.75, 0.0, 0.5, 0.7, 0.8], [0.0, 0.0, 0.0, 0.5, 0.55, 0.625, 0.8]]
    assert CertaintyMap(POSSIBLE, CERTAIN)(torch.tensor(scores)).tolist() == [[0, 2, 1, 4, 8, 7, 5]]


def test_the_map_holds_the_sets_that_were_calibrated_where_classes_touch_and_nest():
    """Two bars side by side, and a third class around both: no voxel is taken out of a set."""
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(3, 12, 16, dtype=torch.bool)
    masks[0, 2:10, 2:8], masks[1, 2:10, 8:14], masks[2, 1:11, 1:15] = True, True, True
    smooth = torch.nn.functional.avg_pool2d(masks.float()[None], 5, 1, 2)[0]
    scores = (smooth + 0.1 * torch.rand(3, 12, 16, generator=generator)).clamp(0, 1)
    possible, certain = calibration((0.25, 0.25, 0.375)), calibration((0.625, 0.75, 0.875), WRONG)
    transform = CertaintyMap(possible, certain)
    labels = transform(scores)[0].as_tensor()
    for result, risk, delivered in (
        (possible, FalseNegativeRate(), transform.labels.possible(labels)),
        (certain, FalsePositiveRatio(), transform.labels.certain(labels)),
    ):
        promised = risk.image_risk(scores[None], masks[None], torch.tensor(result.cutoff))
        assert torch.equal(risk.image_risk(delivered[None].float(), masks[None], 0.5), promised)
    assert bool((transform.labels.possible(labels).sum(0) > 1).any())  # they do overlap


def test_any_label_is_there_exactly_where_a_prediction_set_is():
    scores = torch.rand(2, 9, 9, 9, generator=torch.Generator().manual_seed(0))
    transform = CertaintyMap(POSSIBLE, CERTAIN)
    labels = transform(scores)[0].as_tensor()
    assert torch.equal(transform.labels.possible(labels).float(), ConformalMask(POSSIBLE)(scores).as_tensor())
    certain = (scores >= torch.tensor([0.75, 0.625]).reshape(2, 1, 1, 1)) & transform.labels.possible(labels)
    assert torch.equal(transform.labels.certain(labels), certain)


def test_a_certain_cutoff_below_the_possible_one_adds_nothing():
    low = CertaintyMap(calibration((0.5,)), calibration((0.25,), WRONG))
    assert low(torch.tensor([[0.25, 0.4, 0.5, 0.6]])).tolist() == [[0, 0, 1, 1]]


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="scores must be finite"):
        CertaintyMap(POSSIBLE, CERTAIN)(torch.tensor([[0.5, torch.nan], [0.5, 0.5]]))


def test_files_and_metadata(tmp_path):
    save_calibration(POSSIBLE, tmp_path / "possible.json")
    save_calibration(CERTAIN, tmp_path / "certain.json")
    affine = torch.diag(torch.tensor([3.0, 1, 1, 1], dtype=torch.float64))
    scores = MetaTensor(torch.full((2, 2, 2, 2), 0.9), affine=affine)
    result = CertaintyMapd("pred", tmp_path / "possible.json", tmp_path / "certain.json")({"pred": scores})["pred"]
    assert np.asarray(result).dtype == np.uint8
    assert torch.equal(result.affine, affine)


@pytest.mark.parametrize(
    ("possible", "certain", "message"),
    [
        (CERTAIN, CERTAIN, "possible must be a calibration of what is missed"),
        (POSSIBLE, POSSIBLE, "certain must be a calibration of false positives, got one of 'false_negative_rate'"),
        (POSSIBLE, calibration((0.5,), WRONG), "calibration is for 1 classes, the scores have 2"),
        (
            POSSIBLE,
            calibration((0.5, 0.5), WRONG, "other"),
            r"calibration is of another pipeline: scorer \(other against abc\)",
        ),
    ],
)
def test_calibrations_that_do_not_belong_together_are_refused(possible, certain, message):
    with pytest.raises(ValueError, match=message):
        CertaintyMap(possible, certain)


def test_what_is_certain_of_double_precision_was_calibrated_so():
    """Background at 1 - 1e-9 is below the cutoff 1 of calibration and of the map."""
    scores = torch.full((1, 10, 10), 0.2, dtype=torch.float64)
    scores[:, :2] = 1 - 1e-9
    mask = torch.zeros(1, 10, 10, dtype=torch.bool)
    mask[:, 5] = True
    certain = calibrate_maps([scores] * 20, [mask] * 20, guarantee=ExpectedRisk(FalsePositiveRatio(), 0.1))
    possible = calibrate_maps([scores] * 20, [mask] * 20, alpha=0.1)
    assert certain.cutoff == (1.0,)
    assert int((CertaintyMap(possible, certain)(scores) == 1).sum()) == 0


def test_pipelines_are_compared_without_a_network_too():
    possible, certain = calibration((0.25,)), calibration((0.75,), WRONG)
    one, other = (identity_of(None, {"preprocessing": [number]}) for number in (1, 2))
    CertaintyMap(replace(possible, identity=one), replace(certain, identity=one))
    with pytest.raises(ValueError, match="of another pipeline: preprocessing"):
        CertaintyMap(replace(possible, identity=one), replace(certain, identity=other))
