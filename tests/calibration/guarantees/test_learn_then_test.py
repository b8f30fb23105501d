# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Several promises at once on a grid of cutoffs: by hand, by an independent search, and in all but a share delta."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import (
    CoverageStatistic,
    ExpectedRisk,
    FalseDiscoveryRate,
    FalseNegativeRate,
    FalsePositiveRatio,
    GriddedStatistic,
    LearnThenTest,
    WorstClassFalseNegativeRate,
)
from monai_coat.calibration.guarantees.learn_then_test import PROCEDURES
from monai_coat.functional import hoeffding_bentkus_p_value
from tests.calibration.guarantees.populations import filled, most_by_chance
from tests.calibration.images import images, tensors

GRID = (0.0, 1.0, 20)


def calibrated(guarantee, scores):
    return guarantee.calibrate(filled(guarantee.statistic(), scores))


def test_by_hand():
    # Of 22 images none may be lost at alpha = 0.1 and delta = 0.1: 0.9 ** 22 = 0.0985. The sequence of cutoffs goes on
    # to 0.55, where all pixels still are in the set, and stops at 0.6.
    guarantee = LearnThenTest(FalseNegativeRate(), 0.1, 0.1, grid=GRID, procedure="fixed_sequence")
    result = calibrated(guarantee, [0.55] * 22)
    assert (result.cutoff, result.risk, result.n) == ((float(np.float32(0.55)),), (0.0,), (22,))
    assert result.guarantee == (
        "P(E[FNR] <= 0.1) >= 0.9 over draws of the n calibration images, the means being over new images, drawn as "
        "they were and independently (Hoeffding-Bentkus, fixed_sequence over 21 cutoffs, steps of 0.05)"
    )
    # 0.9 ** 21 = 0.109, but 0.89 ** 21 = 0.087.
    with pytest.raises(
        ValueError, match=r"infeasible for class 0 with n = 21; nearest, .* would be E\[FNR\] <= 0\.11; "
    ):
        calibrated(guarantee, [0.55] * 21)


def test_of_what_falls_the_lowest_cutoff_that_keeps_it_is_taken():
    guarantee = LearnThenTest(FalsePositiveRatio(), 0.1, 0.1, grid=GRID, procedure="fixed_sequence")
    statistic = guarantee.statistic()
    statistic.update(torch.tensor([0.9, 0.5]).expand(22, 1, 2), torch.tensor([1, 0]).expand(22, 1, 2))
    assert guarantee.calibrate(statistic).cutoff == (float(np.float32(0.55)),)


def p_values(guarantee, maps, index, step):
    """By the definition, from rational sums."""
    found = []
    for risk, level in zip(guarantee.risks, guarantee.levels, strict=True):
        cutoff = guarantee.statistic().cutoffs[step]
        values = [risk.image_risk(*tensors(image), cutoff)[0, index].item() for image in maps]
        # The sum is rounded up in parts of 2 ** -32 for each image.
        counted = [Fraction(-(-Fraction(v).limit_denominator(14) * 2**32 // 1), 2**32) for v in values if v == v]  # noqa: PLR0124
        found.append(hoeffding_bentkus_p_value(sum(counted, Fraction(0)), len(counted), level) if counted else 1.0)
    return max(found)


@settings(max_examples=30)
@given(maps=images(12, 16, classes=2), falls=st.booleans())
def test_a_fixed_sequence_is_the_last_of_those_that_are_all_rejected(maps, falls):
    risk = FalsePositiveRatio() if falls else FalseNegativeRate()
    also = {"false_discovery_rate": 0.8} if falls else {}
    guarantee = LearnThenTest(risk, 0.5, 0.3, also, (-0.5, 1.25, 7), "fixed_sequence")
    statistic = guarantee.statistic()
    for image in maps:
        statistic.update(*tensors(image))
    expected = []
    for index in range(2):
        kept = None
        for step in range(8)[:: -1 if falls else 1]:
            if p_values(guarantee, maps, index, step) > 0.3:
                break
            kept = step
        expected.append(kept)
    if None in expected:
        with pytest.raises(ValueError, match=f"infeasible for class {expected.index(None)} with n = "):
            guarantee.calibrate(statistic)
    else:
        assert guarantee.calibrate(statistic).cutoff == tuple(-0.5 + step / 4 for step in expected)


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_all_but_a_share_delta_of_calibrations_keep_the_level(procedure):
    # Images of one pixel: the true risk at a cutoff of the grid is the cutoff.
    rng, runs = np.random.default_rng(10), 80
    guarantee = LearnThenTest(FalseNegativeRate(), 0.3, 0.1, grid=GRID, procedure=procedure)
    cutoffs = [calibrated(guarantee, scores).cutoff[0] for scores in rng.random((runs, 60))]
    assert sum(cutoff > 0.3 + 1e-6 for cutoff in cutoffs) < most_by_chance(runs, 0.1)
    assert np.mean(cutoffs) > 0.1  # it is not kept by doing nothing


@pytest.mark.parametrize("procedure", ["graphical", "holm"])
def test_two_promises_are_kept_together(procedure):
    # Of two uniform pixels the one of the foreground is lost at c with probability c, the other is marked with 1 - c:
    # levels of 0.55 and 0.75 are both kept from 0.25 to 0.55.
    rng, runs, failed, found = np.random.default_rng(11), 40, 0, 0
    guarantee = LearnThenTest(FalseNegativeRate(), 0.55, 0.1, {"false_positive_ratio": 0.75}, GRID, procedure)
    for _ in range(runs):
        statistic = guarantee.statistic()
        scores = torch.from_numpy(rng.random((250, 1, 2)).astype(np.float32))
        statistic.update(scores, torch.tensor([1, 0]).expand(250, 1, 2))
        with suppress(ValueError):  # that no cutoff keeps both breaks no promise
            failed += not 0.25 - 1e-6 <= guarantee.calibrate(statistic).cutoff[0] <= 0.55 + 1e-6
            found += 1
    assert failed < most_by_chance(runs, 0.1)
    assert found > runs / 2


def test_what_no_cutoff_keeps_is_said_with_the_nearest_level_of_each():
    # Foreground at 0.3 and background at 0.6: either all foreground is lost, or all background is marked.
    guarantee = LearnThenTest(FalseNegativeRate(), 0.3, 0.1, {"false_positive_ratio": 0.3}, GRID)
    statistic = guarantee.statistic()
    statistic.update(torch.tensor([0.3, 0.6]).expand(60, 1, 2), torch.tensor([1, 0]).expand(60, 1, 2))
    with pytest.raises(
        ValueError,
        match=r"got P\(E\[FNR\] <= 0\.3 and E\[min\(1, .*, which is infeasible .* would be none of them alone",
    ):
        guarantee.calibrate(statistic)


def test_the_nearest_level_is_the_least_that_would_do():
    # Between 0.3 and 0.6, foreground at 0.3 is lost in 24 of 60 images, and background at 0.6 marked in 3.
    scores = torch.tensor([[0.6, 0.3]] * 33 + [[0.3, 0.3]] * 24 + [[0.6, 0.6]] * 3)[:, None]
    also = {"false_positive_ratio": 0.3}
    statistic = LearnThenTest(FalseNegativeRate(), 0.3, 0.1, also, GRID).statistic()
    statistic.update(scores, torch.tensor([1, 0]).expand(60, 1, 2))
    with pytest.raises(ValueError, match=r"would be E\[FNR\] <= 0\.\d+; raise a level") as caught:
        LearnThenTest(FalseNegativeRate(), 0.3, 0.1, also, GRID).calibrate(statistic)
    level = float(str(caught.value).split("would be E[FNR] <= ")[1].split(";")[0])
    assert 0.4 < level < 0.8
    cutoff = LearnThenTest(FalseNegativeRate(), level, 0.1, also, GRID).calibrate(statistic).cutoff[0]
    assert 0.3 < cutoff <= 0.6 + 1e-6
    with pytest.raises(ValueError, match="infeasible"):
        LearnThenTest(FalseNegativeRate(), round(level - 0.01, 2), 0.1, also, GRID).calibrate(statistic)


def test_a_risk_that_rises_and_falls_is_tested_at_every_cutoff():
    # At 0.75 half of what is marked is wrong, at 0.85 all of it, at 0.95 nothing is marked: the second is no cutoff,
    # though a higher and a lower one are.
    guarantee = LearnThenTest(FalseDiscoveryRate(), 0.6, 0.1, grid=(0.75, 0.95, 2), procedure="holm")
    statistic = guarantee.statistic()
    statistic.update(torch.tensor([0.9, 0.8, 0.7]).expand(300, 1, 3), torch.tensor([0, 1, 0]).expand(300, 1, 3))
    assert [float(statistic.total_at(0, 0, step)) for step in range(3)] == [150, 300, 0]
    assert guarantee.calibrate(statistic).cutoff == (0.75,)
    with pytest.raises(TypeError, match="risk must go one way with the cutoff, got 'false_discovery_rate'"):
        ExpectedRisk(FalseDiscoveryRate(), 0.6).calibrate(filled(FalseDiscoveryRate().statistic(), [1, 2]))


@settings(max_examples=40)
@given(maps=images(3, 8, classes=2), rows=st.integers(0, 3))
def test_sums_are_those_of_the_images_rounded_up_and_merge_to_the_bit(maps, rows):
    risks = FalseNegativeRate(), FalseDiscoveryRate(), FalsePositiveRatio()
    cutoffs = (-0.5, 0.25, 0.6, 1.0)
    whole, half, other = (GriddedStatistic(risks, cutoffs) for _ in range(3))
    for place, image in enumerate(maps):
        whole.update(*tensors(image))
        (half if place < rows else other).update(*tensors(image))
    for place, risk in enumerate(risks):
        for step, cutoff in enumerate(whole.cutoffs):
            table = torch.cat([risk.image_risk(*tensors(image), cutoff) for image in maps])
            for index in range(2):
                values = [Fraction(v).limit_denominator(14) for v in table[:, index].tolist() if v == v]  # noqa: PLR0124
                assert whole.n_of(place)[index] == len(values)
                assert 0 <= whole.total_at(place, index, step) - sum(values) <= Fraction(len(values), 2**32)
    again = GriddedStatistic(risks, cutoffs)
    again.load_state_dict(other.state_dict())
    again.merge(half)
    assert np.array_equal(again.sums, whole.sums)
    assert (again.n, again.n_empty) == (whole.n, whole.n_empty)


def test_classes_together_have_one_cutoff_for_each_class():
    guarantee = LearnThenTest(WorstClassFalseNegativeRate(), 0.3, 0.1, grid=GRID, procedure="fixed_sequence")
    statistic = guarantee.statistic()
    statistic.update(torch.tensor([[0.9], [0.4]]).expand(30, 2, 1), torch.ones(30, 2, 1))
    result = guarantee.calibrate(statistic)
    assert (result.cutoff, result.n) == ((float(np.float32(0.4)),) * 2, (30, 30))
    with pytest.raises(ValueError, match=r"risks all joint or none, got .* worst_class_false_negative_rate, false_neg"):
        LearnThenTest(WorstClassFalseNegativeRate(), also={"false_negative_rate": 0.1})


def test_a_statistic_of_something_else_is_refused():
    guarantee = LearnThenTest(FalseNegativeRate(), 0.3, 0.1, grid=GRID)
    for other in (CoverageStatistic(), LearnThenTest(FalsePositiveRatio(), 0.3, grid=GRID).statistic(), None):
        with pytest.raises(TypeError, match=r"statistic must be sums of false_negative_rate on a grid, got"):
            guarantee.calibrate(other)
    with pytest.raises(ValueError, match="statistic must be on the grid of the guarantee, got another"):
        guarantee.calibrate(LearnThenTest(FalseNegativeRate(), 0.3, grid=(0, 1, 10)).statistic())
    with pytest.raises(ValueError, match="statistic must hold at least one image, got none"):
        guarantee.calibrate(guarantee.statistic())
    statistic = filled(guarantee.statistic(), [0.5] * 30)
    with pytest.raises(TypeError, match="guarantee must be LearnThenTest, which tests each cutoff"):
        ExpectedRisk(FalseNegativeRate(), 0.3).calibrate(statistic)
    with pytest.raises(ValueError, match="must have the 1 classes of the batches before, got 2"):
        statistic.update(torch.rand(1, 2, 4), torch.ones(1, 2, 4))
    two = guarantee.statistic()
    two.update(torch.rand(1, 2, 4), torch.ones(1, 2, 4))
    with pytest.raises(ValueError, match="other must have the same grid and classes"):
        statistic.merge(two)
    with pytest.raises(TypeError, match="other must be a GriddedStatistic, got CoverageStatistic"):
        statistic.merge(CoverageStatistic())
    for changed in (
        {"sums": -statistic.state_dict()["sums"] - 1},
        {"sums": statistic.state_dict()["sums"] + 31 * 2**32},
        {"sums": statistic.state_dict()["sums"][:, :, 1:]},
        {"counts": statistic.state_dict()["counts"][:1]},
    ):
        with pytest.raises(ValueError, match="sums must"):
            statistic.load_state_dict(statistic.state_dict() | changed)
    assert statistic.n == (30,)


@pytest.mark.parametrize(
    ("entries", "error", "message"),
    [
        ({"alpha": 0}, ValueError, r"alpha must be in \(0, 1\)"),
        ({"delta": 1}, ValueError, r"delta must be in \(0, 1\)"),
        ({"also": {"false_positive_ratio": 2}}, ValueError, r"must be in \(0, 1\), got 2"),
        ({"also": {"dice": 0.1}}, ValueError, "controls must be one of .*, got 'dice'"),
        ({"grid": (1, 0, 10)}, ValueError, r"grid must be \(low, high, steps\) with low < high"),
        ({"grid": (0, 1, 0)}, ValueError, r"grid must be \(low, high, steps\) with low < high"),
        ({"grid": (0, 1, 2.5)}, ValueError, r"grid must be \(low, high, steps\)"),
        ({"grid": (0, float("inf"), 2)}, ValueError, r"grid must be \(low, high, steps\)"),
        ({"grid": (0, float("nan"), 2)}, ValueError, r"grid must be \(low, high, steps\)"),
        ({"grid": (0, 1)}, ValueError, r"grid must be \(low, high, steps\), got \(0, 1\); such as"),
        (
            {"procedure": "bonferroni"},
            ValueError,
            "procedure must be one of fixed_sequence, holm, graphical, got 'bonf",
        ),
    ],
)
def test_what_cannot_be_promised_is_refused(entries, error, message):
    with pytest.raises(error, match=message):
        LearnThenTest(**entries)
