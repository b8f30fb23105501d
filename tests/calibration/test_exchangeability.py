# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binom

from monai_coat.calibration import exchangeability_p_value
from monai_coat.calibration.exchangeability import MOST_IMAGES


def energy(first, second):
    """As its definition says, pair by pair."""

    def mean(a, b):
        return np.mean([np.linalg.norm(x - y) for x in a for y in b])

    return 2 * mean(first, second) - mean(first, first) - mean(second, second)


def test_it_is_the_share_of_all_divisions_that_are_as_far_apart():
    rng = np.random.default_rng(1)
    first, second = rng.random((3, 2)), rng.random((4, 2)) + np.array([0.6, 0])
    pooled = np.concatenate([first, second])
    scaled = (pooled - pooled.mean(0)) / pooled.std(0)
    found = energy(scaled[:3], scaled[3:])
    every = [set(chosen) for chosen in combinations(range(7), 3)]
    far = [energy(scaled[sorted(each)], scaled[sorted(set(range(7)) - each)]) >= found - 1e-12 for each in every]
    p_value = exchangeability_p_value(first, second, permutations=20000)
    assert 0.02 < np.mean(far) < 0.9
    assert p_value == pytest.approx(np.mean(far), abs=0.015)  # five standard deviations of 20000 draws, at most


def test_one_image_against_one_says_nothing_and_what_is_alike_neither():
    assert exchangeability_p_value([[0.0, 1.0]], [[5.0, 1.0]]) == 1.0
    assert exchangeability_p_value(np.ones((9, 3)), np.ones((7, 3))) == 1.0


def test_the_smallest_p_value_is_that_of_one_division_among_all():
    assert exchangeability_p_value(np.zeros((20, 1)), np.ones((20, 1)), permutations=49) == 1 / 50


def test_units_of_features_are_no_matter():
    rng = np.random.default_rng(2)
    first, second = rng.random((20, 3)), rng.random((30, 3)) + 0.1
    scale = np.array([1.0, 64.0, 2.0**-12])
    expected = exchangeability_p_value(first, second, seed=3)
    assert exchangeability_p_value(first * scale, second * scale, seed=3) == expected


def test_false_alarms_are_as_rare_as_stated_and_shifts_are_found():
    rng, runs = np.random.default_rng(4), 200
    alike = [exchangeability_p_value(*rng.random((2, 15, 2)), permutations=99, seed=i) for i in range(runs)]
    assert sum(p <= 0.05 for p in alike) <= binom.ppf(0.999, runs, 0.05)
    assert np.mean(alike) > 0.4
    shift = np.array([0.4, 0])
    shifted = [exchangeability_p_value(rng.random((40, 2)), rng.random((40, 2)) + shift) for _ in range(10)]
    assert all(p <= 0.01 for p in shifted)


def test_of_many_images_a_seeded_draw_is_compared():
    rng = np.random.default_rng(6)
    first, second = rng.random((MOST_IMAGES + 50, 1)), rng.random((30, 1))
    found = [exchangeability_p_value(first, second, permutations=19, seed=7) for _ in range(2)]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (np.zeros((0, 2)), np.zeros((3, 2)), "first must be finite features"),
        (np.zeros((3, 2)), np.full((3, 2), np.nan), "second must be finite features"),
        (np.zeros((3, 2)), np.zeros((3, 1)), "the same features, got 2 and 1"),
        (np.zeros(3), np.zeros((3, 1)), r"got shape \(3,\)"),
    ],
)
def test_what_cannot_be_compared_is_refused(first, second, said):
    with pytest.raises(ValueError, match=said):
        exchangeability_p_value(first, second)
