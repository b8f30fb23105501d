# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Alarms in images without foreground: counted by hand, and decided by one score."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from monai_coat.calibration import ExpectedRisk, FalseAlarm, MarkedShare
from tests.calibration.risks.critical import batches, check_critical_scores

EMPTY = torch.zeros(1, 1, 5)
SCORES = torch.tensor([[[0.1, 0.6, 0.3, 0.6, 0.2]]])


@pytest.mark.parametrize("risk", [FalseAlarm(), FalseAlarm(2), FalseAlarm(9), FalseAlarm(10**6), MarkedShare()])
@settings(max_examples=40)
@given(maps=batches())
def test_the_risk_is_the_share_of_critical_scores_in_the_set(risk, maps):
    check_critical_scores(risk, *maps)


@pytest.mark.parametrize(("voxels", "critical"), [(1, 0.6), (2, 0.6), (3, 0.3), (5, 0.1)])
def test_so_many_voxels_are_marked_up_to_the_score_of_that_rank(voxels, critical):
    risk = FalseAlarm(voxels)
    (number,), shape = risk.critical_scores(SCORES, EMPTY)
    assert (number.tolist(), shape) == (pytest.approx([-critical]), (1, 1))
    at = torch.tensor(critical)
    assert float(risk.image_risk(SCORES, EMPTY, at)) == 1
    assert float(risk.image_risk(SCORES, EMPTY, at.nextafter(torch.tensor(2.0)))) == 0


def test_the_share_is_of_the_whole_image():
    assert float(MarkedShare().image_risk(SCORES, EMPTY, 0.25)) == 0.6
    assert float(MarkedShare().image_risk(SCORES, EMPTY, 0.7)) == 0


@pytest.mark.parametrize("risk", [FalseAlarm(), MarkedShare()])
def test_images_with_the_class_are_left_out_class_by_class(risk):
    labels = torch.tensor([[[0.0] * 5, [0, 0, 1, 0, 0]]])
    risks = risk.image_risk(SCORES.repeat(1, 2, 1), labels, 0.5)
    assert risks.isnan().tolist() == [[False, True]]
    values, shape = risk.critical_scores(SCORES.repeat(1, 2, 1), labels)
    assert ([v.numel() > 0 for v in values], shape) == ([True, False], (1, 2))
    assert (risk.counted, risk.left_out) == ("images without foreground", "with foreground")
    assert not risk.rises


def test_the_probability_of_an_alarm_is_as_agreed():
    # Images i = 1 to 20 raise an alarm at cutoffs up to i / 20; 0.25 * 21 - 1 = 4.25 of them may: 17 to 20, above 0.8.
    scores = torch.stack([torch.tensor([[i / 20, 0.0]]) for i in range(1, 21)])
    guarantee = ExpectedRisk(FalseAlarm(), alpha=0.25)
    statistic = guarantee.statistic()
    statistic.update(scores, torch.zeros(20, 1, 2))
    (solution,) = statistic.solve(guarantee.budget)
    assert solution.risk == 0.2
    assert solution.cutoff == float(torch.tensor(16 / 20).nextafter(torch.tensor(1.0)))


def test_they_are_said_as_they_should_be():
    assert (FalseAlarm().key, FalseAlarm(5).key) == ("false_alarm(1)", "false_alarm(5)")
    assert (FalseAlarm().words, FalseAlarm(5).words) == ("1{anything marked}", "1{at least 5 voxels marked}")
    assert FalseAlarm().expected_words == "P(anything marked)"
    assert (MarkedShare().key, MarkedShare().expected_words) == ("false_alarm_size", "E[share of the image marked]")


def test_a_number_of_voxels_is_a_whole_number_from_one():
    with pytest.raises(TypeError, match="voxels must be a whole number, got float"):
        FalseAlarm(2.0)
    with pytest.raises(TypeError, match="voxels must be a whole number, got bool"):
        FalseAlarm(True)
    with pytest.raises(ValueError, match="voxels must be at least 1, got 0; give 1 for any voxel"):
        FalseAlarm(0)
