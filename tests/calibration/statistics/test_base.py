# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What all statistics share: what they take and refuse, and scores rounded to the safe side."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.calibration import (
    BinnedStatistic,
    Brackets,
    BracketStatistic,
    ExpectedRisk,
    MapStatistic,
    risk_named,
)
from monai_coat.functional import float32_below
from tests.calibration.rows import EXAMPLES, MONOTONE, masks_for

MAKERS = {
    **{name: risk.statistic for name, risk in EXAMPLES.items()},
    **{f"maps of {name}": lambda risk=risk: MapStatistic(risk) for name, risk in EXAMPLES.items()},
    "binned": BinnedStatistic,
    "bracket": lambda: BracketStatistic(Brackets(((-1.0, math.inf),) * 2, 0.5, (3, 3))),
}
EVERY = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
GOOD = torch.rand(3, 2, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 0, 1, 0]).expand(3, 2, 4)

COUNTS = {
    "worst_class_false_negative_rate": ((2, 2), (1, 1)),
    "false_alarm": ((1, 2), (2, 1)),
    "false_alarm_size": ((1, 2), (2, 1)),
    "volume_underestimated": ((3, 3), (0, 0)),
    "volume_overestimated": ((3, 3), (0, 0)),
}


def filled(statistic):
    """The statistic after three images that count."""
    scores, labels = GOOD
    statistic.update(scores, masks_for(risk_named(statistic.measures), labels))
    return statistic


def solved(statistic):
    """The result of the expected risk at the level of the brackets; of what it does not admit, the risks at cutoffs."""
    risk = risk_named(statistic.measures)
    if risk.monotone:
        return ExpectedRisk(risk, 0.5).calibrate(statistic)
    return [[risks.tolist() for risks in statistic.risks_at([cutoff] * 2)] for cutoff in (0.2, 0.5, 0.8)]


@EVERY
@pytest.mark.parametrize(
    ("scores", "labels", "error", "message"),
    [
        (torch.rand(1, 3, 4), torch.ones(1, 3, 4), ValueError, "must have the 2 classes of the (batches|brackets)"),
        (torch.full((1, 2, 4), torch.nan), torch.ones(1, 2, 4), ValueError, "must be finite"),
        (torch.full((1, 2, 4), -torch.inf), torch.ones(1, 2, 4), ValueError, "must be finite"),
        (torch.rand(1, 2, 4), torch.full((1, 2, 4), 2), ValueError, r"must hold only 0(,| and) 1( and 255)?, got 2"),
        (torch.rand(1, 2, 4), torch.ones(1, 2, 5), ValueError, "same shape"),
        (torch.ones(1, 2, 4, dtype=torch.int), torch.ones(1, 2, 4), TypeError, "must be floating point"),
    ],
)
def test_what_is_refused_adds_nothing(make, scores, labels, error, message):
    statistic = filled(make())
    with pytest.raises(error, match=message):
        statistic.update(scores, labels)
    assert (statistic.n, statistic.n_empty) == ((3, 3), (0, 0))


@EVERY
def test_what_was_taken_does_not_change_with_the_input(make):
    statistic, other = make(), make()
    risk = risk_named(statistic.measures)
    scores, labels = GOOD[0].clone(), masks_for(risk, GOOD[1]).clone()
    for one in (statistic, other):
        one.update(scores, labels)
    expected = solved(statistic)
    scores.zero_()
    labels.fill_(risk.counted == "images without foreground")
    assert solved(other) == expected


@EVERY
def test_an_empty_statistic_has_no_class_yet_and_changes_nothing_when_merged(make):
    statistic = filled(make())
    statistic.merge(make())
    assert (statistic.n, statistic.n_empty) == ((3, 3), (0, 0))
    fresh = make()
    assert not any(fresh.n)
    fresh.merge(statistic)
    assert (fresh.n, fresh.n_empty) == ((3, 3), (0, 0))


@EVERY
def test_it_counts_images_with_and_without_what_the_risk_needs(make):
    statistic = make()
    labels = torch.tensor([[[1, 0, 1, 0], [0, 0, 0, 0]], [[1, 0, 0, 0], [0, 1, 0, 0]], [[0] * 4, [0] * 4]])
    statistic.update(torch.rand(3, 2, 4), labels)
    expected = COUNTS.get(statistic.measures.partition("(")[0], ((2, 1), (1, 2)))
    assert (statistic.n, statistic.n_empty) == expected


@pytest.mark.parametrize("risk", MONOTONE.values(), ids=MONOTONE)
def test_merging_with_itself_counts_every_image_twice(risk):
    guarantee = ExpectedRisk(risk, 0.5)
    for statistic in (filled(risk.statistic()), filled(MapStatistic(risk))):
        statistic.merge(statistic)
        assert statistic.n == (6, 6)
        assert guarantee.calibrate(statistic).n == (6, 6)


@given(st.floats(-(2.0**127), 2.0**127, allow_nan=False))
def test_double_precision_becomes_the_largest_float32_that_is_not_above(score):
    (below,) = float32_below(torch.tensor([score], dtype=torch.float64)).tolist()
    assert below <= score
    assert below == float(np.float32(below))
    assert float(np.nextafter(np.float32(below), np.float32(math.inf))) > score


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_what_float32_can_hold_stays_as_it_is(score):
    for dtype in (torch.float32, torch.float64):
        assert float32_below(torch.tensor([score], dtype=dtype)).tolist() == [score]


def test_double_precision_beyond_float32_is_its_largest_number_or_refused():
    assert float32_below(torch.tensor([1e300], dtype=torch.float64)).tolist() == [torch.finfo(torch.float32).max]
    with pytest.raises(ValueError, match=r"within the range of float32, got -1e\+300"):
        float32_below(torch.tensor([-1e300], dtype=torch.float64))
