# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A calibration set that grows: one promise for all its sizes, kept in all but a share delta of sequences."""

from __future__ import annotations

import numpy as np
import pytest

from monai_coat.calibration import ConfidentRisk, Exceeds, ExpectedRisk, FalseNegativeRate, GrowingSet
from tests.calibration.guarantees.populations import filled, most_by_chance

RUNS, DELTA, ALPHA = 100, 0.1, 0.2
SIZES = (15, 22, 30, 40, 60, 90)


def test_the_fewest_images_by_hand():
    # Stakes s = 2 ** (-j / 2) have weights s / sum s and win 1 + s alpha / (1 - alpha) with each image without loss.
    stakes = 2.0 ** (-np.arange(16) / 2)

    def wealth(n):
        return float((stakes / stakes.sum() * (1 + stakes / 9) ** n).sum())

    guarantee = GrowingSet(FalseNegativeRate(), 0.1, 0.05)
    fewest = guarantee.images_needed
    assert wealth(fewest - 1) < 20 <= wealth(fewest)
    assert guarantee.calibrate(filled(guarantee.statistic(), range(fewest))).cutoff == (0.0,)
    with pytest.raises(
        ValueError, match=f"needs at least {fewest} calibration images with foreground, got {fewest - 1}"
    ):
        guarantee.calibrate(filled(guarantee.statistic(), range(fewest - 1)))


def ever_above(guarantee, draws, sizes):
    """In how many sequences the true risk, which is the cutoff, was above the level at any size."""
    found = 0
    for scores in draws:
        statistics = (filled(guarantee.statistic(), scores[:size]) for size in sizes)
        found += any(guarantee.calibrate(statistic).cutoff[0] > ALPHA for statistic in statistics)
    return found


def test_looking_at_every_size_keeps_the_level_in_all_but_a_share_delta_of_sequences():
    draws = np.random.default_rng(4).random((RUNS, SIZES[-1])).astype(np.float32)
    assert ever_above(GrowingSet(FalseNegativeRate(), ALPHA, DELTA), draws, SIZES) < most_by_chance(RUNS, DELTA)


def test_a_promise_for_one_size_is_not_kept_by_whoever_looks_at_every_size():
    # Of one pixel each the cutoff is above alpha if no more scores than the budget are below alpha.
    of_one_size = ConfidentRisk(Exceeds(FalseNegativeRate(), 0), ALPHA, DELTA, "binomial")
    draws = np.random.default_rng(4).random((RUNS, 400))
    budgets = np.array([float(of_one_size.budget(n)) for n in range(1, 401)])
    ever = ((draws < ALPHA).cumsum(1) <= budgets).any(1)
    assert ever.sum() > most_by_chance(RUNS, DELTA)


def test_sets_become_smaller_as_the_set_grows_but_stay_on_the_safe_side_of_the_mean():
    scores = (np.arange(2000) + 0.5) / 2000
    shuffled = np.random.default_rng(5).permutation(scores)
    guarantee = GrowingSet(FalseNegativeRate(), ALPHA, DELTA)
    cutoffs = [guarantee.calibrate(filled(guarantee.statistic(), shuffled[:n])).cutoff[0] for n in (100, 400, 2000)]
    expected = ExpectedRisk(FalseNegativeRate(), ALPHA)
    assert cutoffs[-1] < expected.calibrate(filled(expected.statistic(), shuffled)).cutoff[0]
    assert abs(cutoffs[-1] - ALPHA) < abs(cutoffs[0] - ALPHA)
    assert 0.16 < cutoffs[-1] < ALPHA


def test_its_words_are_of_all_sizes_and_no_other_bound_is_taken():
    guarantee = GrowingSet(FalseNegativeRate(), 0.2, 0.1)
    assert guarantee.settings == {"delta": 0.1}
    assert guarantee.scope.startswith(
        "for all sizes of the calibration set at once, while it grows, the mean being over"
    )
    for bound in ("hinge", "hoeffding_bentkus"):
        with pytest.raises(ValueError, match=f"bound must be betting, got '{bound}', which holds for one number"):
            GrowingSet(bound=bound)
    with pytest.raises(ValueError, match="bound must be one of"):
        GrowingSet(bound="ville")
