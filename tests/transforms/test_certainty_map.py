# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Certain and possible, by hand and against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_coat.calibration import CalibrationResult, save_calibration
from monai_coat.transforms import CertaintyMap, CertaintyMapd, ConformalMask


def calibration(cutoff, controls="miss", network="abc"):
    size = len(cutoff)
    return CalibrationResult(cutoff, 0.1, (99,) * size, (0,) * size, (0.09,) * size, "words", "", network, controls)


POSSIBLE, CERTAIN = calibration((0.25, 0.5)), calibration((0.75, 0.625), "false_alarm")


def test_labels_by_hand():
    #             neither, possible 0, certain 0, possible 1, both possible, certain 1 before possible 0, both certain
    scores = [[0.0, 0.5, 0.75, 0.0, 0.5, 0.7, 0.8], [0.0, 0.0, 0.0, 0.5, 0.55, 0.625, 0.8]]
    assert CertaintyMap(POSSIBLE, CERTAIN)(torch.tensor(scores)).tolist() == [[0, 2, 1, 4, 2, 3, 3]]


def test_any_label_is_there_exactly_where_a_prediction_set_is():
    scores = torch.rand(2, 9, 9, 9, generator=torch.Generator().manual_seed(0))
    labels = CertaintyMap(POSSIBLE, CERTAIN)(scores)
    assert torch.equal(labels[0] > 0, ConformalMask(POSSIBLE)(scores).amax(0) > 0)
    certain = (scores >= torch.tensor([0.75, 0.625]).reshape(2, 1, 1, 1)).any(0)
    assert torch.equal(labels[0] % 2 == 1, certain)


def test_a_certain_cutoff_below_the_possible_one_adds_nothing():
    low = CertaintyMap(calibration((0.5,)), calibration((0.25,), "false_alarm"))
    assert low(torch.tensor([[0.25, 0.4, 0.5, 0.6]])).tolist() == [[0, 0, 1, 1]]


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
        (POSSIBLE, POSSIBLE, "certain must be a calibration of false alarms, got one of 'miss'"),
        (POSSIBLE, calibration((0.5,), "false_alarm"), "calibration is for 1 classes, the scores have 2"),
        (POSSIBLE, calibration((0.5, 0.5), "false_alarm", "other"), "calibration is for network other"),
    ],
)
def test_calibrations_that_do_not_belong_together_are_refused(possible, certain, message):
    with pytest.raises(ValueError, match=message):
        CertaintyMap(possible, certain)
