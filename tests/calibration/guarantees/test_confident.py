# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Risk-controlling sets: numbers by hand, all but a share delta of calibrations, and the search by images' risks."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import BinnedStatistic, ConfidentRisk, Exceeds, ExpectedRisk, FalseNegativeRate
from monai_coat.calibration.guarantees.confident import BOUNDS, complement
from monai_coat.calibration.guarantees.search import solve_by
from monai_coat.calibration.statistics.base import LARGEST
from tests.calibration.guarantees.populations import filled, most_by_chance, pixels
from tests.calibration.images import images, tensors
from tests.calibration.rows import MONOTONE, masks_for

ANY_MISSED = Exceeds(FalseNegativeRate(), 0)


def of_bound(bound, alpha=0.2, delta=0.1):
    risk = ANY_MISSED if bound == "binomial" else FalseNegativeRate()
    return ConfidentRisk(risk, alpha, delta, bound)


def cutoff_of(guarantee, scores):
    return guarantee.calibrate(filled(guarantee.statistic(), scores)).cutoff[0]


@pytest.mark.parametrize("bound", ["hoeffding_bentkus", "hinge", "binomial"])
def test_the_fewest_images_by_hand(bound):
    # Of which none loses anything: 0.9 ** 22 = 0.0985, 0.9 ** 21 = 0.1094.
    guarantee = of_bound(bound, alpha=0.1)
    assert guarantee.images_needed == 22
    assert cutoff_of(guarantee, range(1, 23)) == 1.0
    with pytest.raises(ValueError, match=r"alpha=0\.1 needs at least 22 calibration images with foreground, got 21"):
        cutoff_of(guarantee, range(1, 22))


def test_as_many_are_missed_as_the_binomial_tail_allows():
    # P(Bin(200, 0.1) <= 12) = 0.032 and P(. <= 13) = 0.057: of 200 images of one pixel, 12 may be missed at 0.05.
    guarantee = of_bound("binomial", 0.1, 0.05)
    result = guarantee.calibrate(filled(guarantee.statistic(), range(1, 201)))
    assert (result.cutoff, result.risk) == ((13.0,), (0.06,))
    assert result.guarantee == (
        "P(P(FNR > 0.0) <= 0.1) >= 0.95 over draws of the n calibration images, the mean being over new images with "
        "foreground, drawn as they were and independently (bound: binomial)"
    )


@pytest.mark.parametrize("bound", BOUNDS)
def test_all_but_a_share_delta_of_calibrations_keep_the_level(bound):
    rng, runs, guarantee = np.random.default_rng(1), 150, of_bound(bound)
    draws = rng.random((runs, 60)).astype(np.float32)
    failed = sum(cutoff_of(guarantee, scores) > 0.2 for scores in draws)  # the true risk at a cutoff is the cutoff
    assert failed < most_by_chance(runs, 0.1)
    # The promise of a mean over calibrations would be found out.
    assert sum(cutoff_of(ExpectedRisk(alpha=0.2), scores) > 0.2 for scores in draws) > most_by_chance(runs, 0.1)


def test_the_hinge_is_never_smaller_than_hoeffding_and_bentkus_and_bets_are_best_where_images_are_alike():
    rng = np.random.default_rng(2)
    scores = torch.from_numpy(rng.random((100, 1, 50)).astype(np.float32))
    cutoffs = {}
    for bound in ("hoeffding_bentkus", "hinge", "betting"):
        guarantee = ConfidentRisk(FalseNegativeRate(), 0.2, 0.1, bound)
        statistic = guarantee.statistic()
        statistic.update(scores, torch.ones_like(scores))
        cutoffs[bound] = guarantee.calibrate(statistic).cutoff[0]
    assert cutoffs["hoeffding_bentkus"] <= cutoffs["hinge"] < cutoffs["betting"] <= 0.21


@settings(max_examples=30)
@given(scores=st.lists(st.integers(0, 12), min_size=30, max_size=50), percent=st.integers(10, 60), other=st.data())
@pytest.mark.parametrize("bound", BOUNDS)
def test_more_is_missed_the_more_is_tolerated(bound, scores, percent, other):
    delta = percent / 100
    larger = other.draw(st.integers(percent, 99)) / 100
    assert cutoff_of(of_bound(bound, 0.25, delta), scores) <= cutoff_of(of_bound(bound, 0.25, larger), scores)
    assert cutoff_of(of_bound(bound, 0.25, delta), scores) <= cutoff_of(of_bound(bound, 0.4, delta), scores)


@pytest.mark.parametrize("bound", ["hoeffding_bentkus", "hinge"])
def test_sums_in_bins_are_enough_and_safe(bound):
    scores = np.random.default_rng(3).random(100)
    guarantee = of_bound(bound)
    exact, binned = cutoff_of(guarantee, scores), guarantee.calibrate(filled(BinnedStatistic(0.0, 1.0, 64), scores))
    assert exact - 1 / 32 < binned.cutoff[0] <= exact
    assert binned.guarantee.startswith(guarantee.promise)


def brute_force(risk, maps, keeps, index):
    """The most useful of all float32 at which it holds: the risk changes at scores, or just above, and nowhere else."""
    scores = {float(s) for image in maps for s in tensors(image)[0].flatten()}
    steps = [s if risk.rises else float(np.nextafter(np.float32(s), np.float32(np.inf))) for s in scores]
    column = 0 if risk.joint else index

    def holds(cutoff):
        rows = [risk.image_risk(tensors(i)[0], masks_for(risk, tensors(i)[1]), cutoff)[0, column].item() for i in maps]
        return keeps(np.array([row for row in rows if row == row]))  # noqa: PLR0124  leaves out NaN

    return (max if risk.rises else min)(step for step in steps if holds(step))


@settings(max_examples=15)
@given(maps=images(5, 9, classes=2), tolerated=st.sampled_from([0.0, 0.1, 0.25, 0.4, 0.6]))
@pytest.mark.parametrize("risk", MONOTONE.values(), ids=MONOTONE)
def test_the_search_by_images_risks_is_that_over_all_scores(risk, maps, tolerated):
    def keeps(risks):
        return len(risks) > 0 and risks.mean() <= tolerated

    statistic = risk.statistic()
    for image in maps:
        scores, labels = tensors(image)
        statistic.update(scores, masks_for(risk, labels))
    for index, found in enumerate(solve_by(statistic, keeps, risk.rises)):
        risks = statistic.risks_at([found.cutoff] * 2)[index]
        if not statistic.n[index]:
            assert found.cutoff == (-LARGEST if risk.rises else LARGEST)
        elif abs(found.cutoff) < 100:
            assert found.cutoff == brute_force(risk, maps, keeps, index)
            assert found.risk == pytest.approx(risks.mean(), abs=1e-12)
        else:  # whatever the cutoff, enough images never lose
            assert keeps(risks)
            assert keeps(statistic.risks_at([9.0 if risk.rises else -9.0] * 2)[index])


def test_a_risk_that_is_never_small_enough_has_no_cutoff():
    statistic = FalseNegativeRate().statistic()
    statistic.update(*pixels([0.5] * 5))
    calls = iter([True, False])  # of zeros it holds, of the images it does not
    with pytest.raises(ValueError, match=r"risk must be low enough at the safest cutoff, -3\.40282e\+38, got more"):
        solve_by(statistic, lambda risks: next(calls), rises=True)


def test_zero_has_one_sign_and_an_extreme_score_is_a_cutoff():
    for scores in ([-0.0] * 30, [0.0, -0.0] * 15):
        assert str(cutoff_of(of_bound("betting"), scores)) == "0.0"
    extreme = float(np.float32(-3e38))
    assert cutoff_of(of_bound("betting"), [extreme] * 30) == extreme


@pytest.mark.parametrize(
    ("entries", "error", "message"),
    [
        ({"delta": 0}, ValueError, r"delta must be in \(0, 1\), got 0"),
        ({"delta": 1.0}, ValueError, r"delta must be in \(0, 1\), got 1"),
        ({"delta": "0.1"}, TypeError, r"delta must be a number in \(0, 1\), got str"),
        ({"alpha": 1.5}, ValueError, r"alpha must be in \(0, 1\), got 1\.5"),
        ({"bound": "clt"}, ValueError, "bound must be one of hoeffding_bentkus, hinge, binomial, betting, got 'clt'"),
        ({"bound": "binomial"}, ValueError, "hinge or betting for 'false_negative_rate', got binomial, which is of"),
    ],
)
def test_what_cannot_be_promised_is_refused(entries, error, message):
    with pytest.raises(error, match=message):
        ConfidentRisk(**entries)


@pytest.mark.parametrize(("delta", "expected"), [(0.05, 0.95), (0.1, 0.9), (0.01, 0.99), (0.3, 0.7)])
def test_the_complement_is_that_of_the_decimal(delta, expected):
    assert complement(delta) == expected
    assert ConfidentRisk(delta=delta).promise == f"P(E[FNR] <= 0.1) >= {expected}"


def test_the_budget_of_bets_is_nothing_or_less():
    guarantee = of_bound("betting", 0.1, 0.05)
    fewest = guarantee.images_needed
    assert (guarantee.budget(fewest), guarantee.budget(fewest - 1)) == (Fraction(0), Fraction(-1))
