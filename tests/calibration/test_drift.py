# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Betting against the promise: never rich by chance, soon rich when it is broken."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.calibration import DriftWatch


def test_wealth_by_hand():
    watch = DriftWatch(0.5)
    watch.update(1.0)
    # Stakes j / 8 for j = 1 to 16, each won half of it: 1 + j / 16.
    assert watch.evidence == pytest.approx(np.mean([1 + j / 16 for j in range(1, 17)]))
    watch.update(0.0)
    assert watch.evidence == pytest.approx(np.mean([(1 + j / 16) * (1 - j / 16) for j in range(1, 17)]))


@given(st.lists(st.floats(0, 1), max_size=40), st.sampled_from([0.05, 0.1, 0.3]))
def test_it_is_the_mean_of_products(misses, alpha):
    watch = DriftWatch(alpha, misses)
    expected = np.mean([math.prod(max(1 + j / (16 * alpha) * (x - alpha), 0.0) for x in misses) for j in range(1, 17)])
    assert watch.evidence == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert watch.n == len(misses)


def test_a_game_that_is_fair_makes_rich_at_most_as_often_as_promised():
    """Misses of 0 or 1 with mean alpha are the hardest case: the game is exactly fair."""
    rng, rich = np.random.default_rng(0), 0
    for _ in range(400):
        watch = DriftWatch(0.1)
        for miss in rng.random(150) < 0.1:
            watch.update(float(miss))
            if watch.against(0.1):
                rich += 1
                break
    # At most 40 of 400 in expectation; four standard deviations above.
    assert rich <= 40 + 4 * 6


def test_a_broken_promise_is_noticed_within_a_few_dozen_images():
    rng = np.random.default_rng(1)
    watch = DriftWatch(0.1)
    seen = 0
    while not watch.against(0.01):
        watch.update(float(rng.beta(2, 5)))  # mean 0.29
        seen += 1
    assert seen < 60


def test_images_without_foreground_say_nothing():
    watch = DriftWatch(0.1, [math.nan, 0.2])
    assert watch.n == 1


@pytest.mark.parametrize("miss", [-0.1, 1.1])
def test_what_is_no_rate_is_refused(miss):
    with pytest.raises(ValueError, match=r"miss must be a false negative rate in \[0, 1\]"):
        DriftWatch(0.1).update(miss)
    with pytest.raises(ValueError, match="alpha must be in"):
        DriftWatch(1.5)
