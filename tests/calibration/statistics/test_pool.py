# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The exact search: the largest admissible score by rational arithmetic, whatever the scores."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monai_coat.calibration.statistics.pool import ScorePool

LARGEST, TINIEST = 3.4028235e38, 1e-45


def pooled(images):
    pool = ScorePool()
    for image in images:
        pool.add(np.asarray(image, np.float32))
    return pool


def risk(images, cutoff):
    """Sum of the false negative rates, counted pixel by pixel."""
    return sum((Fraction(int((image < cutoff).sum()), image.size) for image in images if image.size), Fraction(0))


def largest_admissible(images, budget):
    """The oracle: bisection over all distinct scores, each judged by its definition."""
    candidates = np.unique(np.concatenate(images))
    low, high = 0, len(candidates)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if risk(images, candidates[middle]) <= budget else (low, middle)
    return candidates[low]


def check(images, budget):
    images = [np.asarray(image, np.float32) for image in images]
    found = pooled(images).crossing(budget)
    expected = largest_admissible(images, budget)
    assert found.cutoff == expected
    present = [image for image in images if image.size]
    assert found.missed.tolist() == [int((image < expected).sum()) for image in present]
    assert sum(Fraction(int(k), image.size) for k, image in zip(found.missed, present, strict=True)) <= budget


any_float = st.floats(width=32, allow_nan=False, allow_infinity=False)
denormal = st.integers(-8, 8).map(lambda k: k * TINIEST)
grid = st.integers(-3, 3).map(lambda k: k / 4)
extreme = st.sampled_from([LARGEST, -LARGEST, TINIEST, -TINIEST, 0.0, -0.0, 1e30, -1e30, 1.0])
image_lists = st.one_of(
    *(
        st.lists(arrays(np.float32, st.integers(1, 12), elements=e), min_size=1, max_size=8)
        for e in (any_float, denormal, grid, extreme, st.just(0.7))
    )
)


@settings(max_examples=300)
@given(image_lists, st.fractions(0, 1, max_denominator=1000).filter(lambda share: share < 1))
def test_cutoff_is_the_largest_admissible_score(images, share):
    check(images, share * len(images))


@settings(max_examples=150)
@given(image_lists, st.data())
def test_budgets_that_are_met_exactly_and_just_not(images, data):
    # The budget is the very risk of some score: float64 could not decide; a hair less must give a smaller cutoff.
    cutoff = data.draw(st.sampled_from(sorted({float(s) for image in images for s in image})))
    budget = risk(images, np.float32(cutoff))
    check(images, budget)
    assert pooled(images).crossing(budget).cutoff >= cutoff
    if budget > 0:
        check(images, budget - Fraction(1, 10**30))
        assert pooled(images).crossing(budget - Fraction(1, 10**30)).cutoff < cutoff


# Thousands of scores of one kind, so that both rounds of binning matter.
KINDS = {
    "saturated": lambda rng, m: 1 / (1 + np.exp(-rng.normal(8, 4, m))),
    "heavy tails": lambda rng, m: rng.standard_cauchy(m) * 10.0 ** rng.integers(-30, 30),
    "ties": lambda rng, m: np.round(rng.random(m), 2),
    "two values": lambda rng, m: rng.integers(0, 2, m) * 1e30,
    "neighbours": lambda rng, m: 0.7 + np.spacing(np.float32(0.7)) * rng.integers(0, 50, m),
    "whole range": lambda rng, m: rng.uniform(-1, 1, m) * LARGEST,
    "one outlier": lambda rng, m: np.r_[rng.random(m) * 1e-6, LARGEST],
    "denormal": lambda rng, m: rng.normal(size=m) * TINIEST * 100,
}


@pytest.mark.parametrize("kind", KINDS)
def test_large_pools(rng, kind):
    for _ in range(3):
        images = [KINDS[kind](rng, m).astype(np.float32) for m in rng.integers(1, 4000, 12)]
        scores = np.concatenate(images)
        for budget in (Fraction(0), Fraction(1, 3), Fraction(6), Fraction(119, 10), 12 - Fraction(1, 10**9)):
            check(images, budget)
        for score in rng.choice(scores, 3):
            check(images, risk(images, score))


@pytest.mark.parametrize("value", [0.0, 0.3, -5.0, LARGEST, -LARGEST, TINIEST])
def test_constant_maps(value):
    # No cutoff above the only score is admissible short of a budget of all images; the score itself misses nothing.
    images = [np.full(m, value, np.float32) for m in (1, 7, 300)]
    crossing = pooled(images).crossing(Fraction(299, 100))
    assert crossing.cutoff == np.float32(value)
    assert crossing.missed.tolist() == [0, 0, 0]


def test_one_image_of_one_pixel():
    crossing = pooled([[0.25]]).crossing(Fraction(0))
    assert (crossing.cutoff, crossing.missed.tolist()) == (0.25, [0])


def test_many_images_of_many_sizes_need_exact_sums():
    # 1/3 + 1/7 + ... with denominators up to 199: the budget equals the risk, whose float64 sum depends on the order.
    sizes = range(3, 200, 4)
    images = [np.r_[np.zeros(1), np.ones(m - 1)].astype(np.float32) for m in sizes]
    budget = sum(Fraction(1, m) for m in sizes)
    for step in range(5):
        turned = images[step * 9 :] + images[: step * 9]
        assert pooled(turned).crossing(budget).cutoff == 1.0
        assert pooled(turned).crossing(budget - Fraction(1, 10**40)).cutoff == 0.0


def test_answers_every_budget_and_sees_images_that_come_later():
    pool = pooled([[1.0, 2.0], [3.0, 4.0]])
    assert [pool.crossing(Fraction(k, 2)).cutoff for k in range(4)] == [1, 2, 3, 4]
    pool.add(np.array([0.5], np.float32))
    assert pool.crossing(Fraction(0)).cutoff == 0.5
    other = pooled([[0.25], []])
    pool.extend(other)
    assert pool.crossing(Fraction(0)).cutoff == 0.25
    assert (len(pool), pool.n_empty, pool.sizes.tolist()) == (4, 1, [2, 2, 1, 1])


def test_zero_has_one_sign():
    for images in ([[0.0], [-0.0]], [[-0.0], [0.0]]):
        assert str(pooled(images).crossing(Fraction(1)).cutoff) == "0.0"


def test_state_is_the_pool():
    pool = pooled([[0.5, 0.25], [], [1.0]])
    copy = ScorePool.from_state_dict(pool.state_dict())
    assert (len(copy), copy.n_empty, copy.sizes.tolist()) == (2, 1, [2, 1])
    assert copy.crossing(Fraction(1)).cutoff == pool.crossing(Fraction(1)).cutoff
    empty = ScorePool.from_state_dict(pooled([[], []]).state_dict())
    assert (len(empty), empty.n_empty) == (0, 2)
