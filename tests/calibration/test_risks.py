# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The false alarm is controlled as the miss is, and risks are not mixed up."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import (
    CoverageStatistic,
    FalseAlarmStatistic,
    calibrate_false_alarm,
    calibrate_risk,
    statistic_of_risk,
)

values = st.sampled_from([-0.5, 0.0, 0.25, 0.5, 0.75, 1.0])
image = st.lists(st.tuples(values, st.booleans()), min_size=7, max_size=7)
images = st.lists(image, min_size=8, max_size=14)


def statistic_of(maps):
    statistic = FalseAlarmStatistic()
    for each in maps:
        statistic.update(torch.tensor([[[s for s, _ in each]]]), torch.tensor([[[y for _, y in each]]]))
    return statistic


def false_alarm(each, cutoff):
    """In sizes of the foreground, or of the background where that is less; at most 1."""
    background = [score for score, inside in each if not inside]
    size = min(sum(inside for _, inside in each), len(background))
    return min(Fraction(1), Fraction(sum(score >= cutoff for score in background), size)) if size else None


@settings(max_examples=50)
@given(images, st.sampled_from([0.25, 0.3, 0.5]))
def test_leaving_one_out_the_false_alarm_is_as_agreed(maps, alpha):
    maps = [each for each in maps if false_alarm(each, 0.0) is not None]
    if Fraction(str(alpha)) * len(maps) < 1:
        return
    total = Fraction(0)
    for out, each in enumerate(maps):
        total += false_alarm(each, calibrate_false_alarm(statistic_of(maps[:out] + maps[out + 1 :]), alpha).cutoff[0])
    assert total <= Fraction(str(alpha)) * len(maps)


@given(images, st.sampled_from([0.25, 0.5]))
def test_no_lower_cutoff_keeps_the_bound(maps, alpha):
    maps = [each for each in maps if false_alarm(each, 0.0) is not None]
    budget = Fraction(str(alpha)) * (len(maps) + 1) - 1
    if budget < 0:
        return
    cutoff = calibrate_false_alarm(statistic_of(maps), alpha).cutoff[0]
    assert sum(false_alarm(each, cutoff) for each in maps) <= budget
    lower = max((s for each in maps for s, inside in each if not inside and s < cutoff), default=None)
    if lower is not None and sum(false_alarm(each, lower) for each in maps) <= budget:
        # Only where the last of equal scores at the end of what is marked changes nothing.
        pytest.fail(f"{lower} would do as well as {cutoff}")


def test_a_calibration_of_false_alarms_says_so():
    statistic = statistic_of_risk("false_alarm")
    statistic.update(torch.rand(20, 2, 30), torch.rand(20, 2, 30) < 0.3)
    result = calibrate_risk(statistic, 0.1, "false_alarm")
    assert result.controls == "false_alarm"
    assert result.guarantee.startswith("E[false alarm / foreground] <= 0.1")
    assert len(result.cutoff) == 2


@pytest.mark.parametrize(("risk", "other"), [("miss", "false_alarm"), ("false_alarm", "worst_miss")])
def test_a_statistic_of_another_risk_is_refused(risk, other):
    with pytest.raises(TypeError, match=f"statistic must be one of the risk '{other}'"):
        calibrate_risk(statistic_of_risk(risk), 0.1, other)


def test_an_unknown_risk_is_named():
    for act in (lambda: statistic_of_risk("dice"), lambda: calibrate_risk(CoverageStatistic(), 0.1, "dice")):
        with pytest.raises(ValueError, match="risk must be one of miss, worst_miss, false_alarm, got 'dice'"):
            act()
