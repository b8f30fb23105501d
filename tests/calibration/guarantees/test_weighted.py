# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A promise about another population: weights by hand, what they must not be, and a shift whose risk is known."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import (
    ConfidentRisk,
    CoverageStatistic,
    ExpectedRisk,
    FalseNegativeRate,
    FalsePositiveRatio,
    PerPatient,
    Weighted,
    WeightedStatistic,
    WorstClassFalseNegativeRate,
)
from tests.calibration.guarantees.populations import filled
from tests.calibration.images import images, tensors


def of_weights(weights):
    return [{"weight": weight} for weight in weights]


def calibrated(guarantee, scores, weights):
    return guarantee.calibrate(filled(guarantee.statistic(), scores, of_weights(weights)))


def of_expected(alpha, largest):
    return Weighted(ExpectedRisk(FalseNegativeRate(), alpha), largest=largest)


def test_by_hand():
    # alpha = 1/2, W = 1, weights of sum 3: the loss may weigh 0.5 * (3 + 1) - 1 = 1. At cutoff 2 the image of weight
    # 1/2 is lost, at 3 also that of weight 1.
    result = calibrated(of_expected(0.5, 1.5), [1, 2, 3], [0.5, 1, 1.5])
    assert (result.cutoff, result.n) == ((2.0,), (3,))  # with W = 1.5 the loss may weigh 0.75
    result = calibrated(of_expected(0.5, 1.0), [1, 2, 3, 4], [0.5, 1, 0.5, 1])
    assert (result.cutoff, result.risk) == ((2.0,), (0.5 / 3,))
    # With the weights the other way round, the first image alone weighs 1.
    assert calibrated(of_expected(0.5, 1.0), [1, 2, 3, 4], [1, 0.5, 1, 0.5]).cutoff == (2.0,)
    assert calibrated(of_expected(0.5, 1.0), [1, 2, 3, 4], [0.25, 0.5, 1, 1]).cutoff == (3.0,)  # 0.875 may be lost


WEIGHTS = st.lists(st.sampled_from([0.25, 0.5, 1.0, 1.75, 3.0]), min_size=10, max_size=10)


def weighted_risk(risk, maps, weights, cutoff, index):
    """Weighted sum of the risks and of the weights of images that count, in rational numbers."""
    values = [risk.image_risk(*tensors(image), cutoff)[0, index].item() for image in maps]
    pairs = [(Fraction(w), Fraction(v).limit_denominator(7)) for w, v in zip(weights, values, strict=True) if v == v]  # noqa: PLR0124  leaves out NaN
    return sum((w * v for w, v in pairs), Fraction(0)), sum((w for w, _ in pairs), Fraction(0))


@settings(max_examples=60)
@given(maps=images(10, 10, classes=2), weights=WEIGHTS)
@pytest.mark.parametrize("risk", [FalseNegativeRate(), FalsePositiveRatio()], ids=lambda risk: risk.name)
def test_the_cutoff_is_the_most_useful_one_within_the_weighted_budget(risk, maps, weights):
    guarantee, largest = Weighted(ExpectedRisk(risk, 0.4), largest=3), 3
    statistic = guarantee.statistic()
    for image, meta in zip(maps, of_weights(weights), strict=True):
        statistic.update(*tensors(image), [meta])
    level = Fraction(2, 5)
    budgets = [level * (statistic.total_weight(index) + largest) - largest for index in range(2)]
    if max(budgets) < 0:
        with pytest.raises(ValueError, match=r"alpha=0\.4 needs at least 2 images of the largest weight, 3, or more"):
            guarantee.calibrate(statistic)
        return
    result = guarantee.calibrate(statistic)
    assert result.promised == tuple(budget >= 0 for budget in budgets)
    assert all(result.promised) == ("weigh too little" not in result.guarantee)
    for index, cutoff in enumerate(result.cutoff):
        if not result.promised[index]:
            continue
        total, weight = weighted_risk(risk, maps, weights, cutoff, index)
        assert weight == statistic.total_weight(index)
        assert total <= budgets[index]
        assert result.risk[index] == pytest.approx(float(total / weight), abs=1e-12)
        scores = {score for image in maps for score, _ in image[index]}
        better = [s for s in scores if (s > cutoff if risk.rises else s < cutoff)]
        if better:
            nearest = min(better) if risk.rises else max(better)
            assert weighted_risk(risk, maps, weights, nearest, index)[0] > budgets[index]


@given(scores=st.lists(st.integers(0, 9), min_size=4, max_size=20), weight=st.sampled_from([1.0, 0.1, 3.3, 7.0]))
def test_equal_weights_are_none(scores, weight):
    result = calibrated(of_expected(0.3, weight), scores, [weight] * len(scores))
    expected = ExpectedRisk(FalseNegativeRate(), 0.3)
    other = expected.calibrate(filled(expected.statistic(), scores))
    if weight == 1:
        assert (result.cutoff, result.risk) == (other.cutoff, other.risk)
    # Weights are read in parts of 2 ** -20, the largest one is rounded up: a budget that is met exactly is not then.
    assert result.cutoff <= other.cutoff
    assert calibrated(of_expected(0.3001, weight), scores, [weight] * len(scores)).cutoff >= other.cutoff


@given(scores=st.lists(st.integers(0, 9), min_size=12, max_size=12), weights=WEIGHTS, factor=st.sampled_from([2, 0.5]))
def test_only_ratios_of_weights_matter_and_a_weight_of_two_is_two_images(scores, weights, factor):
    scores, guarantee = scores[:10], of_expected(0.8, 3.0)
    expected = calibrated(guarantee, scores, weights)
    scaled = [factor * weight for weight in weights]
    assert calibrated(of_expected(0.8, 3.0 * factor), scores, scaled).cutoff == expected.cutoff
    halves = [weight / 2 for weight in weights]
    assert calibrated(guarantee, [*scores, *scores], [*halves, *halves]).cutoff == expected.cutoff


def test_under_a_known_shift_the_promise_is_kept_and_without_weights_it_is_not():
    # Hard images have a score of U, easy ones of 1 + U, U uniform: at cutoff c in [0, 1] a share c of the hard ones is
    # lost. Half of the calibration images are hard, and four fifths of those to come: weights 1.6 and 0.4.
    rng, runs, alpha = np.random.default_rng(8), 300, 0.2
    guarantee, unweighted = of_expected(alpha, 1.6), ExpectedRisk(FalseNegativeRate(), alpha)
    found, without = [], []
    for _ in range(runs):
        hard = rng.random(60) < 0.5
        scores = rng.random(60) + ~hard
        for risks, cutoff in (
            (found, calibrated(guarantee, scores, np.where(hard, 1.6, 0.4)).cutoff[0]),
            (without, unweighted.calibrate(filled(unweighted.statistic(), scores)).cutoff[0]),
        ):
            risks.append(0.8 * min(cutoff, 1) + 0.2 * max(cutoff - 1, 0))
    error = 4 * np.std(found) / runs**0.5
    assert error < 0.02
    assert alpha - 2 * 1.6 / 60 - error <= np.mean(found) <= alpha + error
    assert np.mean(without) > alpha + 0.05


def test_a_class_of_little_weight_is_said():
    guarantee = Weighted(ExpectedRisk(FalseNegativeRate(), 0.25, ("liver", "tumour")), largest=1)
    statistic = guarantee.statistic()
    labels = torch.ones(12, 2, 4)
    labels[4:, 1] = 0  # four images of weight 1/2; at 1/4 three of weight 1 are needed
    statistic.update(torch.rand(12, 2, 4), labels, of_weights([0.5] * 4 + [1] * 8))
    result = guarantee.calibrate(statistic)
    assert (result.promised, result.n) == ((True, False), (12, 4))
    assert result.guarantee.endswith(
        "no promise about 'tumour', whose set is everything: 4 images with foreground weigh too little"
    )


def test_too_little_weight_for_any_class_is_refused_with_what_it_tells():
    # (4 * 0.5 + 1) ** 2 / (4 * 0.25 + 1) = 4.5 images of equal weight.
    with pytest.raises(
        ValueError,
        match=r"needs at least 9 images of the largest weight, 1, .* got 5 of class 0, of weight 3 .* 4\.5 of",
    ):
        calibrated(of_expected(0.1, 1), range(5), [0.5] * 4 + [1])


@pytest.mark.parametrize("weight", [3.3, 0.1, 1.6, 2 / 3, 1e-6, 1000.7])
def test_a_weight_may_be_the_largest(weight):
    assert calibrated(of_expected(0.5, weight), range(9), [weight] * 9).n == (9,)
    with pytest.raises(ValueError, match=r"weight must be at most .*; cut weights there, or raise largest"):
        calibrated(of_expected(0.5, weight), range(9), [weight] * 8 + [weight * 1.01 + 2e-6])


@pytest.mark.parametrize("weight", [0, -1.0, 1e-7, 1025, float("inf"), "heavy", [1]])
def test_what_is_no_weight_is_refused_and_adds_nothing(weight):
    statistic = WeightedStatistic(FalseNegativeRate(), "weight")
    with pytest.raises(ValueError, match=r"weight must be a weight from 9\.5e-07 to 1024, got .*; divide all"):
        filled(statistic, [1, 2], of_weights([1, weight]))
    with pytest.raises(ValueError, match="metadata must say 'weight' of every image"):
        filled(statistic, [1, 2], of_weights([1, float("nan")]))
    assert (statistic.n, statistic.entries) == ((), [])


def test_weights_come_as_numbers_texts_and_tensors():
    statistic = filled(
        WeightedStatistic(FalseNegativeRate(), "weight"), [1, 2, 3], of_weights([1, "0.5", torch.tensor(2.0)])
    )
    assert statistic.total_weight(0) == Fraction(7, 2)
    assert statistic.largest_weight == 2
    assert statistic.effective_n(0) == pytest.approx(3.5**2 / (1 + 0.25 + 4))


def test_what_cannot_be_weighted_is_refused():
    for inner in (ConfidentRisk(), ExpectedRisk(WorstClassFalseNegativeRate()), PerPatient(ExpectedRisk()), None):
        with pytest.raises(TypeError, match="guarantee must be ExpectedRisk of a share of scores"):
            Weighted(inner) if inner is not None else Weighted(ConfidentRisk())
    for largest in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="largest must be a positive number, got"):
            Weighted(ExpectedRisk(), largest=largest)
    with pytest.raises(TypeError, match="must know the 'weight' of each image, got CoverageStatistic"):
        Weighted(ExpectedRisk()).calibrate(filled(CoverageStatistic(), range(40)))
    other = filled(WeightedStatistic(FalseNegativeRate(), "share"), [1], [{"share": 1}])
    with pytest.raises(TypeError, match="must know the 'weight' of each image, got WeightedStatistic"):
        Weighted(ExpectedRisk()).calibrate(other)


def test_its_words_say_what_they_rest_on():
    guarantee = Weighted(ExpectedRisk(FalseNegativeRate(), 0.2), largest=2.5)
    assert guarantee.promise == "E[FNR] <= 0.2"
    assert guarantee.scope.endswith(
        "images with foreground that differ from the n used as 'weight' says, of a weight of at most 2.5, as far as "
        "the weights are right"
    )
