# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What all guarantees share: the statistic must be of their risk, and images enough for their level."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.calibration import (
    GUARANTEES,
    RISKS,
    BinnedStatistic,
    CoverageStatistic,
    ExpectedRisk,
    FalseNegativeRate,
    MapStatistic,
    MeanGuarantee,
    Risk,
    WorstClassFalseNegativeRate,
    calibrate,
)
from monai_coat.calibration.guarantees.base import images_for


@pytest.mark.parametrize("guarantee", GUARANTEES.values(), ids=GUARANTEES)
@pytest.mark.parametrize(("risk", "other"), list(permutations(RISKS.values(), 2)))
def test_a_statistic_of_another_risk_is_refused(guarantee, risk, other):
    for statistic in (other().statistic(), MapStatistic(other())):
        statistic.update(torch.rand(30, 1, 9), torch.rand(30, 1, 9) < 0.5)
        got = f"got {type(statistic).__name__}, which is of '{other.name}'"
        with pytest.raises(TypeError, match=f"must be one of the risk '{risk.name}', {got}; use guarantee.statistic"):
            guarantee(risk(), 0.1).calibrate(statistic)


def test_sums_of_false_negative_rates_promise_nothing_about_the_worst_class():
    statistic = BinnedStatistic(0.0, 1.0)
    statistic.update(torch.rand(30, 2, 9), torch.ones(30, 2, 9))
    with pytest.raises(TypeError, match="risk 'worst_class_false_negative_rate', got BinnedStatistic"):
        calibrate(statistic, guarantee=ExpectedRisk(WorstClassFalseNegativeRate(), 0.1))


@pytest.mark.parametrize("guarantee", GUARANTEES.values(), ids=GUARANTEES)
@pytest.mark.parametrize("risk", RISKS.values(), ids=RISKS)
def test_tables_go_by_the_names_that_results_carry(guarantee, risk):
    promised = guarantee(risk(), 0.2)
    statistic = promised.statistic()
    assert statistic.measures == promised.risk.key
    statistic.update(torch.rand(30, 2, 9), torch.rand(30, 2, 9) < 0.5)
    result = promised.calibrate(statistic)
    assert RISKS[result.controls] is risk
    assert GUARANTEES[result.kind] is guarantee
    assert result.guarantee.startswith(f"{promised.promise} on average over new {promised.risk.counted}, exchangeable")
    assert risk().words in promised.promise


@pytest.mark.parametrize("risk", RISKS.values(), ids=RISKS)
def test_no_image_and_too_few_are_refused(risk):
    guarantee = ExpectedRisk(risk(), 0.1)
    with pytest.raises(ValueError, match="statistic must hold at least one image, got none; call update"):
        guarantee.calibrate(guarantee.statistic())
    statistic = guarantee.statistic()
    statistic.update(torch.rand(12, 2, 9), torch.rand(12, 2, 9) < torch.tensor([0.5] * 8 + [0.0] * 4)[:, None, None])
    with pytest.raises(ValueError, match=r"needs at least 9 calibration .*, got 8 \(4 .* were left"):
        guarantee.calibrate(statistic)


def test_a_class_is_named_unless_all_share_their_images():
    scores, labels = torch.rand(8, 2, 4), torch.ones(8, 2, 4)
    labels[0, 0] = 0
    alone, joint = CoverageStatistic(), WorstClassFalseNegativeRate().statistic()
    for statistic in (alone, joint):
        statistic.update(scores, labels)
    with pytest.raises(ValueError, match=r"with foreground of class 1, got 8 \(0 without"):
        calibrate(alone, 0.1)
    with pytest.raises(ValueError, match=r"with foreground of 'tumour', got 8 \(0 without"):
        ExpectedRisk(alpha=0.1, class_names=("liver", "tumour")).calibrate(alone)
    with pytest.raises(ValueError, match=r"with foreground, got 8 \(0 without"):
        calibrate(joint, guarantee=ExpectedRisk(WorstClassFalseNegativeRate(), 0.1))


def test_names_must_be_those_of_the_classes():
    statistic = CoverageStatistic()
    statistic.update(torch.rand(30, 2, 9), torch.ones(30, 2, 9))
    with pytest.raises(ValueError, match="class_names must name the 2 classes of the scores, got a, b, c; name each"):
        ExpectedRisk(alpha=0.1, class_names=("a", "b", "c")).calibrate(statistic)


@given(st.integers(1, 10**6), st.integers(1, 1000))
def test_the_fewest_images_are_found_by_bisection(fewest, slope):
    assert images_for(lambda n: Fraction(n - fewest, slope)) == fewest


def test_remarks_of_a_statistic_stand_once_in_the_words():
    statistic = BinnedStatistic(0.0, 1.0, 4)
    statistic.update(torch.rand(30, 3, 9), torch.ones(30, 3, 9))
    assert calibrate(statistic, 0.1).guarantee.count("grid of steps of 0.25") == 1


def test_a_guarantee_from_elsewhere_is_taken_as_those_of_the_table_are():
    @dataclass(frozen=True)
    class NothingLost(MeanGuarantee):
        """No calibration image may lose anything."""

        name = "nothing_lost"
        risk: Risk
        alpha: float
        promise = "E[FNR] as in the calibration"

        def budget(self, n):
            return Fraction(0)

    statistic = CoverageStatistic()
    statistic.update(torch.tensor([[[0.5, 0.25]], [[0.75, 0.5]]]), torch.ones(2, 1, 2))
    result = calibrate(statistic, guarantee=NothingLost(FalseNegativeRate(), 0.5))
    assert (result.cutoff, result.risk, result.kind) == ((0.25,), (0.0,), "nothing_lost")
