# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Images that go wrong: counted by hand, and found from critical scores of any risk."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import (
    CoverageStatistic,
    Exceeds,
    ExpectedRisk,
    FalseAlarm,
    FalseNegativeRate,
    FalsePositiveRatio,
    MapStatistic,
    MarkedShare,
    Risk,
)
from monai_coat.calibration import WorstClassFalseNegativeRate as WorstClass
from monai_coat.functional import float32_below, foreground_scores
from tests.calibration.images import images, miss_rate, tensors
from tests.calibration.risks.critical import batches, check_critical_scores


class MissedOfAllClasses(Risk):
    """The share of the foreground of all classes together: one cutoff, one risk."""

    name, words, joint = "missed_of_all", "FNR of all classes", True

    def image_risk(self, scores, labels, cutoff):
        missed = ((scores < cutoff) & labels).flatten(1).sum(1, keepdim=True).double()
        return missed / labels.flatten(1).sum(1, keepdim=True)

    def critical_scores(self, scores, labels):
        return foreground_scores(float32_below(scores).flatten(1)[:, None], labels.flatten(1)[:, None])


OTHERS = [FalseNegativeRate(), FalsePositiveRatio(), WorstClass(), MarkedShare(), FalseAlarm(2), MissedOfAllClasses()]
OTHERS += [Exceeds(WorstClass(), 0.25)]
TOLERANCES = st.sampled_from([0, 0.1, 0.25, 0.3, 1 / 3, 0.5, 0.999])


@pytest.mark.parametrize("other", OTHERS, ids=lambda risk: risk.key)
@settings(max_examples=30)
@given(maps=batches(), tolerance=TOLERANCES)
def test_the_critical_score_is_the_last_cutoff_within_the_tolerance(other, maps, tolerance):
    check_critical_scores(Exceeds(other, tolerance), *maps)


@given(batches(), TOLERANCES)
def test_bisection_finds_the_rank_that_shares_say(maps, tolerance):
    found, shape = Exceeds(FalseNegativeRate(), tolerance).critical_scores(*maps)
    bisected, same = Exceeds(FalseNegativeRate(), tolerance)._by_bisection(*maps)
    assert shape == same
    assert [float32_below(v).tolist() for v in found] == [v.tolist() for v in bisected]


@pytest.mark.parametrize("direction", [True, False])
@pytest.mark.parametrize("tolerance", [0.4, 0.6])
def test_an_image_may_be_lost_at_every_cutoff_or_at_none(tolerance, direction):
    class Half(Risk):
        name, words, rises = "half", "half", direction

        def image_risk(self, scores, labels, cutoff):
            return torch.full(scores.shape[:2], 0.5)

    check_critical_scores(Exceeds(Half(), tolerance), torch.rand(2, 2, 5), torch.ones(2, 2, 5))


@given(images(1, 3, classes=2), st.sampled_from([-1.0, 0.0, 0.25, 0.3, 2.0]), st.sampled_from([0, 0.2, 0.25, 0.5]))
def test_the_risk_is_counted_pixel_by_pixel(maps, cutoff, tolerance):
    for image in maps:
        flags = Exceeds(FalseNegativeRate(), tolerance).image_risk(*tensors(image), cutoff)
        assert flags.dtype == torch.float64
        for flag, pixels in zip(flags[0].tolist(), image, strict=True):
            rate = miss_rate(pixels, cutoff)
            assert str(flag) == ("nan" if rate is None else str(float(rate > Fraction(str(tolerance)))))


@pytest.mark.parametrize(("tolerance", "rank"), [(0, 1), (0.1, 2), (0.29, 3), (0.3, 4), (0.7, 8), (0.99, 10)])
def test_of_ten_foreground_pixels_the_one_that_is_one_too_many_is_critical(tolerance, rank):
    # 0.3 of ten is three, which may be missed, and 0.29 of ten is 2.9, so that two may.
    scores = torch.arange(1.0, 11.0).flip(0)[None, None]
    (number,), shape = Exceeds(FalseNegativeRate(), tolerance).critical_scores(scores, torch.ones(1, 1, 10))
    assert (float(number), shape) == (rank, (1, 1))


def test_a_tolerance_is_the_decimal_that_it_prints_as():
    # 1 of 3 is more than 0.3333333333333333, and 3 of 10 no more than 0.3, whatever the floats are.
    third = torch.tensor([[[0.0, 1.0, 1.0]]])
    assert float(Exceeds(FalseNegativeRate(), 1 / 3).image_risk(third, torch.ones(1, 1, 3), 0.5)) == 1
    tenths = (torch.arange(10) >= 3).double()[None, None]
    assert float(Exceeds(FalseNegativeRate(), 0.3).image_risk(tenths, torch.ones(1, 1, 10), 0.5)) == 0


def test_it_is_said_as_a_probability():
    risk = Exceeds(FalseNegativeRate(), 0.2)
    assert (risk.key, risk.words) == ("exceeds(false_negative_rate, 0.2)", "1{FNR > 0.2}")
    assert risk.expected_words == "P(FNR > 0.2)"
    assert FalseNegativeRate().expected_words == "E[FNR]"
    assert (risk.counted, risk.left_out) == ("images with foreground", "without foreground")
    nested = Exceeds(Exceeds(FalseNegativeRate(), 0), 0.5)
    assert nested.key == "exceeds(exceeds(false_negative_rate, 0.0), 0.5)"
    assert hash(risk) == hash(Exceeds(FalseNegativeRate(), 0.2))


def test_it_goes_the_way_of_the_other_risk():
    falling = Exceeds(MarkedShare(), 0.01)
    assert (falling.rises, falling.counted) == (False, "images without foreground")
    assert Exceeds(FalseNegativeRate(), 0.2).rises
    assert Exceeds(WorstClass(), 0.2).joint
    assert not falling.joint


def test_it_is_calibrated_as_its_definition_says():
    # 20 images of two pixels, one missed above i / 20: at most 0.25 * 21 - 1 = 4.25 images may exceed.
    scores = torch.stack([torch.tensor([[i / 20, 1.0]]) for i in range(1, 21)])
    guarantee = ExpectedRisk(Exceeds(FalseNegativeRate(), 0.4), alpha=0.25)
    statistic = guarantee.statistic()
    statistic.update(scores, torch.ones(20, 1, 2))
    (solution,) = statistic.solve(guarantee.budget)
    assert (solution.cutoff, solution.risk) == (0.25, 0.2)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(TypeError, match=r"risk must be a Risk such as FalseNegativeRate.*got FalseNegativeRate; make"):
        Exceeds(FalseNegativeRate, 0.2)
    with pytest.raises(TypeError, match=r"tolerance must be a number in .*got str"):
        Exceeds(FalseNegativeRate(), "0.2")
    for tolerance, got in ((1, "1;"), (1.5, r"1\.5"), (-0.1, r"-0\.1")):
        with pytest.raises(ValueError, match=rf"tolerance must be in \[0, 1.*got {got}"):
            Exceeds(FalseNegativeRate(), tolerance)


def test_a_risk_that_goes_no_one_way_has_no_critical_score():
    class Wavering(FalseNegativeRate):
        monotone = False

    with pytest.raises(TypeError, match="risk must go one way with the cutoff to have a critical score, got 'false_ne"):
        Exceeds(Wavering(), 0.2).critical_scores(torch.rand(1, 1, 4), torch.ones(1, 1, 4))
    assert type(Exceeds(Wavering(), 0.2).statistic()) is MapStatistic
    assert type(Exceeds(WorstClass(), 0.2).statistic()) is CoverageStatistic
