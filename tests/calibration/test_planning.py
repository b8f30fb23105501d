# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Plans: exact scatter against SciPy and against real calibrations, sizes against a search of all, and pilots."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, betabinom, binom, binomtest

from monai_coat.calibration import (
    BinnedStatistic,
    CoverageStatistic,
    ExpectedRisk,
    FalsePositiveRatio,
    MeanGuarantee,
    Pilot,
    WorstClassFalseNegativeRate,
    images_needed_for,
    misses_among,
    pilots_of,
    plan_calibration,
    scatter,
    size_wanted,
)
from monai_coat.functional import exact_level, images_needed

ALPHAS = st.sampled_from([0.01, 0.05, 0.1, 0.123, 0.3, 0.5, 0.7, 0.9])


class AtMost(MeanGuarantee):
    """Another guarantee: at most a share of the images may be lost, and five are needed."""

    name = "at_most"

    def __init__(self, share, alpha):
        self.share, self.alpha, self.risk = Fraction(share), alpha, ExpectedRisk().risk

    promise = "a share"

    def budget(self, n):
        return self.share * n - (n < 5) * n


def statistic_of(images, generator):
    """Images of 20 pixels with uniform scores."""
    statistic = CoverageStatistic()
    scores = torch.rand(images, 1, 20, generator=generator)
    statistic.update(scores, torch.ones_like(scores))
    return statistic


def shape(guarantee, n):
    k = math.floor(guarantee.budget(n))
    return k + 1, n - k


@given(ALPHAS, st.integers(0, 3000))
def test_scatter_is_the_beta_distribution(alpha, extra):
    guarantee = ExpectedRisk(alpha=alpha)
    n = images_needed(alpha) + extra
    found, expected = scatter(guarantee, n), beta(*shape(guarantee, n))
    assert (found.mean, found.sd) == pytest.approx((expected.mean(), expected.std()), rel=1e-9)
    assert (found.low, found.median, found.high) == pytest.approx(expected.ppf([0.05, 0.5, 0.95]), rel=1e-8, abs=1e-12)
    assert found.above == pytest.approx(expected.sf(alpha), abs=1e-10)
    assert found.mean <= exact_level(alpha) + Fraction(1, 10**12)  # the promise


@pytest.mark.parametrize("n", [10**5, 10**6])
def test_scatter_of_very_many_images(n):
    guarantee = ExpectedRisk(alpha=0.1)
    found, expected = scatter(guarantee, n), beta(*shape(guarantee, n))
    assert (found.low, found.high) == pytest.approx(expected.ppf([0.05, 0.95]), rel=1e-6)


def test_scatter_by_hand():
    # One image at alpha 1/2: the risk is uniform. Two at 1/2: budget 1/2, so none may be lost, the smaller of two.
    one, two = (scatter(ExpectedRisk(alpha=0.5), n) for n in (1, 2))
    assert (one.mean, one.low, one.median, one.above) == pytest.approx((0.5, 0.05, 0.5, 0.5))
    assert (two.mean, two.median, two.above) == pytest.approx((1 / 3, 1 - 0.5**0.5, 0.25))
    assert one.sd == pytest.approx(12**-0.5)


def test_another_guarantee_is_planned_by_its_budget():
    guarantee = AtMost("1/5", 0.3)
    assert images_needed_for(guarantee) == 5
    found, expected = scatter(guarantee, 50), beta(11, 40)
    assert (found.high, found.above) == pytest.approx((expected.ppf(0.95), expected.sf(0.3)))


@given(ALPHAS, st.integers(0, 200), st.integers(0, 200))
def test_misses_among_new_images_are_beta_binomial(alpha, extra, new):
    guarantee, n = ExpectedRisk(alpha=alpha), images_needed(alpha) + extra
    found = misses_among(guarantee, n, new)
    assert found == pytest.approx(betabinom(new, *shape(guarantee, n)).pmf(np.arange(new + 1)), abs=1e-9)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize("guarantee", [ExpectedRisk(alpha=0.2), ExpectedRisk(FalsePositiveRatio(), 0.2)])
def test_real_calibrations_scatter_so(guarantee):
    """Images of one foreground and one background pixel lose all or nothing; uniform scores have risk F(c) = c."""
    n, draws, generator = 14, 1000, torch.Generator().manual_seed(0)
    labels = torch.tensor([1, 0]).expand(n, 1, 2)
    outcomes = []
    for _ in range(draws):
        statistic = guarantee.statistic()
        statistic.update(torch.rand(n, 1, 2, generator=generator), labels)
        (solution,) = statistic.solve(guarantee.budget)
        outcomes.append(solution.cutoff if guarantee.risk.rises else 1 - solution.cutoff)
    found, outcomes = scatter(guarantee, n), np.array(outcomes)
    for risk, expected in ((found.low, 0.05), (found.median, 0.5), (found.high, 0.95), (0.2, 1 - found.above)):
        assert binomtest(int((outcomes <= risk).sum()), draws, expected).pvalue > 1e-4
    assert outcomes.mean() == pytest.approx(found.mean, abs=4 * found.sd / draws**0.5)


def test_ties_make_the_risk_smaller():
    """Scores of 0.1, 0.2, ... 1: the risk at cutoff c is P(score < c), below that of continuous ones as a whole."""
    guarantee, n, draws, rng = ExpectedRisk(alpha=0.2), 14, 2000, np.random.default_rng(1)
    ordered = np.sort(rng.integers(1, 11, (draws, n)))
    outcomes = (ordered[:, shape(guarantee, n)[0] - 1] - 1) / 10
    expected = beta(*shape(guarantee, n))
    for risk in (0.05, 0.1, 0.2, 0.3):
        assert binomtest(int((outcomes > risk).sum()), draws, expected.sf(risk), alternative="greater").pvalue > 1e-4


@given(ALPHAS, st.sampled_from([0.05, 0.08, 0.03]))
def test_size_wanted_is_the_first_from_which_on_the_quantile_stays(alpha, within):
    guarantee = ExpectedRisk(alpha=alpha)
    found, least = size_wanted(guarantee, within), images_needed(alpha)
    sizes = np.arange(least, max(4 * found, least + 500))
    k = np.array([math.floor(guarantee.budget(int(n))) for n in sizes])
    limit = float(exact_level(alpha) + exact_level(within))
    fails = binom.sf(k, sizes, limit) < 0.95  # P(Bin(n, x) >= k + 1) = P(Beta(k + 1, n - k) <= x)
    assert found == (sizes[fails][-1] + 1 if fails.any() else least)


def test_size_wanted_by_hand():
    # At alpha 0.1 with 0.19 more, none may be lost of 9 to 18 images: 0.71^9 = 0.046 is below 0.05.
    assert size_wanted(ExpectedRisk(alpha=0.1), 0.19) == 9
    # With 0.18 more 0.72^9 = 0.052, and 0.72^10 = 0.037; but of 19 images one may be lost, which is within, too.
    assert size_wanted(ExpectedRisk(alpha=0.1), 0.18) == 10


def test_a_pilot_of_scores_without_ties_is_a_population_of_them():
    """Images of one pixel: the pilot's mean risk at the (k + 1)-th smallest of n draws with replacement, by SciPy."""
    guarantee, n, images = ExpectedRisk(alpha=0.1), 60, 300
    statistic = CoverageStatistic()
    statistic.update(torch.randperm(images, generator=torch.Generator().manual_seed(3)).float()[:, None, None] / images,
                     torch.ones(images, 1, 1))  # fmt: skip
    pilot = pilots_of(statistic)[0]
    found = pilot.scatter(guarantee, n)
    least = shape(guarantee, n)[0]
    # The outcome is j / 300 if the (k + 1)-th smallest draw is j: P(outcome <= j / 300) = P(Bin(n, (j + 1) / 300) > k).
    chances = binom.sf(least - 1, n, (np.arange(images) + 1) / images)
    for quantile, level in ((found.low, 0.05), (found.median, 0.5), (found.high, 0.95)):
        place = round(quantile * images)
        near = chances[max(place - 3, 0)], chances[place + 3]
        assert near[0] <= level <= near[1]
    assert found.mean <= 0.1


@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_a_pilot_says_what_real_calibrations_on_its_images_do(alpha):
    """The same draws, calibrated by the package itself: the grid costs at most a step of about 2 sqrt(risk) / 512."""
    guarantee, generator, n = ExpectedRisk(alpha=alpha), torch.Generator().manual_seed(5), 40
    quality = torch.rand(80, 1, 1, generator=generator)
    scores = torch.rand(80, 1, 25, generator=generator) ** (0.2 + quality)
    statistic = CoverageStatistic()
    statistic.update(scores, torch.ones_like(scores))
    found, outcomes = pilots_of(statistic)[0].scatter(guarantee, n), []
    for _ in range(400):
        drawn = CoverageStatistic()
        drawn.update(scores[torch.randint(80, (n,), generator=generator)], torch.ones(n, 1, 25))
        (solution,) = drawn.solve(guarantee.budget)
        outcomes.append(float((scores < solution.cutoff).double().mean()))
    error = 4 * np.std(outcomes) * (1 / 400 + 1 / 2000) ** 0.5
    assert found.mean == pytest.approx(np.mean(outcomes), abs=error + 2 * alpha**0.5 / 512)
    assert found.sd == pytest.approx(np.std(outcomes), rel=0.2)
    assert found.high == pytest.approx(np.quantile(outcomes, 0.95), abs=0.25 * found.sd)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.1, 0.5]), st.integers(0, 60))
def test_the_mean_of_calibrations_on_a_pilot_keeps_the_promise(seed, alpha, extra):
    """New and calibration images are draws from one population, the pilot: conformal risk control holds."""
    rng = np.random.default_rng(seed)
    curves = np.c_[np.zeros(25), np.sort(rng.random((25, 30)) ** rng.integers(1, 6))]
    found = Pilot(curves, draws=400, seed=seed).scatter(ExpectedRisk(alpha=alpha), images_needed(alpha) + extra)
    assert found.mean <= alpha + 5 * found.sd / 400**0.5
    assert found.low <= found.median <= found.high


def test_the_same_seed_gives_the_same_numbers_and_another_does_not():
    curves = np.c_[np.zeros(30), np.sort(np.random.default_rng(0).random((30, 40)))]
    guarantee = ExpectedRisk(alpha=0.1)
    assert Pilot(curves).scatter(guarantee, 50) == Pilot(curves).scatter(guarantee, 50)
    assert Pilot(curves).scatter(guarantee, 50) != Pilot(curves, seed=1).scatter(guarantee, 50)


@pytest.mark.parametrize("seed", range(3))
def test_curves_of_a_pilot_are_the_risks_of_its_images(seed):
    generator = torch.Generator().manual_seed(seed)
    scores, labels = (torch.rand(22, 2, 40, generator=generator) for _ in range(2))
    labels = labels < 0.4
    scores = (scores * 50).round() / 50  # with ties
    for risk in (ExpectedRisk().risk, WorstClassFalseNegativeRate(), FalsePositiveRatio()):
        statistic = risk.statistic()
        statistic.update(scores, labels)
        cutoffs = scores.unique() if risk.rises else torch.nextafter(scores.unique(), torch.tensor(torch.inf))
        for index, pilot in enumerate(pilots_of(statistic)):
            every = {round(float(risk.image_risk(scores, labels, float(c))[:, index].nanmean()), 9) for c in cutoffs}
            assert {round(mean, 9) for mean in pilot.curves.mean(0).tolist()} <= every


def test_cutoffs_of_a_large_pilot_are_close_where_the_risk_is_small():
    pilot = pilots_of(statistic_of(3000, torch.Generator().manual_seed(0)))[0]
    means = pilot.curves.mean(0)
    assert (means[0], means[-1] > 0.99) == (0, True)
    assert all(later - mean < (2 * later**0.5 + 0.1) / 512 for mean, later in pairwise(means.tolist()))


def test_size_wanted_of_a_pilot_is_confirmed_by_its_scatter():
    """Images that begin to lose at a cutoff of their own, and lose more from there on."""
    guarantee, rng = ExpectedRisk(alpha=0.1), np.random.default_rng(0)
    critical = rng.permutation(300)[:, None] / 300
    pilot = Pilot(np.clip((np.linspace(0, 1, 400) - critical) * 3, 0, 1))
    wanted = size_wanted(guarantee, 0.01, pilot)
    later = np.geomspace(wanted, 8 * wanted, 12).astype(int)
    assert all(pilot.scatter(guarantee, int(n)).high <= 0.11 for n in later)
    assert pilot.scatter(guarantee, int(0.9 * wanted)).high > 0.11
    assert 9 < wanted < size_wanted(guarantee, 0.01)


def test_plan_in_words_and_as_json():
    plan = plan_calibration(ExpectedRisk(alpha=0.1), [9, 99], within=0.02)
    expected = beta(10, 90)
    assert plan.words == (
        "E[FNR] <= 0.1 needs at least 9 calibration images with foreground; after one calibration on 99, the mean over "
        f"all new images of a risk that is all or nothing is between {math.floor(1000 * expected.ppf(0.05)) / 1000:g} "
        f"and {math.ceil(1000 * expected.ppf(0.95)) / 1000:g} in 90 of 100, and above alpha in "
        f"{math.ceil(100 * expected.sf(0.1))} of 100; at most 0.12 in 95 of 100 takes {plan.wanted} images or more"
    )
    content = json.loads(json.dumps(plan.to_json(), allow_nan=False))
    assert [row["n"] for row in content["all_or_nothing"]] == [9, 99]
    assert (content["least"], content["wanted"], content["pilot"]) == (9, plan.wanted, [])


def test_plan_with_a_pilot_of_two_classes_leaves_a_small_one_out():
    scores = torch.rand(30, 2, 20, generator=torch.Generator().manual_seed(0))
    labels = torch.ones(30, 2, 20)
    labels[12:, 1] = 0
    guarantee = ExpectedRisk(alpha=0.1, class_names=("liver", "tumour"))
    statistic = guarantee.statistic()
    statistic.update(scores, labels)
    plan = plan_calibration(guarantee, [50], statistic=statistic)
    assert [(pilot.name, pilot.images) for pilot in plan.pilots] == [("liver", 30)]
    assert "in the pilot (30 images of liver)" in plan.words
    assert "none of which the network was trained on" in plan.words


def test_sizes_that_nobody_named_follow_the_least():
    assert [row.n for row in plan_calibration(ExpectedRisk(alpha=0.01)).rows] == [99, 100, 200, 500, 1000]
    assert [row.n for row in plan_calibration(ExpectedRisk(alpha=0.001)).rows] == [999, 1998, 4995, 9990]


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: scatter(ExpectedRisk(alpha=0.1), 8), ValueError, "n must be at least 9 for alpha=0.1, got 8"),
        (lambda: scatter(0.1, 8), TypeError, "guarantee must be a MeanGuarantee such as"),
        (lambda: misses_among(ExpectedRisk(alpha=0.1), 9, -1), ValueError, "new must be a number of images"),
        (lambda: size_wanted(ExpectedRisk(alpha=0.1), 0.9), ValueError, "below 1 - alpha, 0.9, got 0.9"),
        (lambda: size_wanted(ExpectedRisk(alpha=0.1), 0.00001), ValueError, "within must take at most 1048576"),
        (lambda: Pilot(np.zeros((19, 2))), ValueError, r"at least 20 images, .* got shape \(19, 2\)"),
        (lambda: Pilot(np.ones((20, 2))), ValueError, "curves must rise from 0 and stay in"),
        (lambda: pilots_of(BinnedStatistic()), TypeError, "must keep the scores of each image"),
        (lambda: pilots_of(CoverageStatistic()), ValueError, "pilot must have at least 20 images that count, got 0"),
        (
            lambda: plan_calibration(ExpectedRisk(FalsePositiveRatio(), 0.1), statistic=CoverageStatistic()),
            TypeError,
            "statistic must be one of the risk 'false_positive_ratio', got one of 'false_negative_rate'",
        ),
    ],
)
def test_what_cannot_be_planned_is_said(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()
