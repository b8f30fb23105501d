# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The test of drift: the bound that it bets against, its bets, and how often both together raise a false alarm."""

from __future__ import annotations

import copy
import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from monai_coat.calibration import DriftWatch
from monai_coat.calibration.drift import risk_bound, share_of_level
from monai_coat.functional import exact_level, images_needed

ALPHAS = st.sampled_from([0.01, 0.05, 0.1, 0.3, 0.5, 0.9])
LEVELS = st.sampled_from([1e-6, 0.005, 0.05, 0.5])


def sizes(alpha, extra):
    return images_needed(alpha) + extra


def tail(n, mean, most):
    """P(Bin(n, mean) <= most), a rational number."""
    return sum(math.comb(n, k) * mean**k * (1 - mean) ** (n - k) for k in range(most + 1))


def test_bound_by_hand():
    # Budget 0.5 * 2 - 1 = 0: the one image has no miss, t = 1, and (1 - m) / 1 <= level.
    assert risk_bound(0.5, 1, 0.25) == pytest.approx(0.75, rel=1e-5)
    # Budget 0.5 * 3 - 1 = 1/2. t = 1: (1 - m)^2 / (1/2). t = 2: (2 (1 - m)^2 + 2 m (1 - m)) / (3/2) = (1 - m) / (3/4).
    # At level 1/8 the first gives m = 3/4, the second m = 1 - 3/32; either suffices, so it is the smaller.
    assert risk_bound(0.5, 2, 0.125) == pytest.approx(0.75, rel=1e-5)
    # At level 8/9 the first gives m = 1/3, and so does the second: 1 - m = 3/4 * 8/9. Above it, the second is smaller:
    # at level 0.96 it gives 1 - 0.72 = 0.28, the first 1 - 0.48^(1/2) = 0.307.
    assert risk_bound(0.5, 2, 0.96) == pytest.approx(0.28, rel=1e-4)


@given(ALPHAS, st.integers(0, 60), LEVELS)
def test_bound_is_at_most_that_of_hoeffding_and_bentkus(alpha, extra, level):
    n = sizes(alpha, extra)
    budget = float(exact_level(alpha) * (n + 1) - 1)
    found, mean = risk_bound(alpha, n, level), budget / n

    def hoeffding_bentkus(m):
        r = min(mean, m)
        divergence = (r * math.log(r / m) if r else 0) + (1 - r) * math.log((1 - r) / (1 - m))
        return min(math.exp(-n * divergence), math.e * binom.cdf(math.ceil(budget - 1e-9), n, m))

    assert mean < found < 1
    # Just below the bound the other is not yet at the level either, so that its own bound cannot be smaller.
    assert hoeffding_bentkus(found * (1 - 1e-5)) > level * (1 - 1e-6)


@given(ALPHAS, st.integers(0, 60), LEVELS, st.sampled_from([0, 0.001, 0.01, 0.1, 0.5]))
def test_all_or_nothing_risks_exceed_the_bound_as_seldom_as_stated(alpha, extra, level, above):
    """Exactly: a cutoff with mean m above the bound is within the budget if a binomial number of misses is."""
    n = sizes(alpha, extra)
    bound = Fraction(risk_bound(alpha, n, level))
    mean = bound + Fraction(above) * (1 - bound)
    assert tail(n, mean, math.floor(exact_level(alpha) * (n + 1) - 1)) <= Fraction(level)


@given(ALPHAS, st.integers(0, 8), LEVELS, st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any))
def test_graded_risks_exceed_the_bound_as_seldom_as_stated(alpha, extra, level, weights):
    """Exactly: risks of 0, 1/4, ... 1, with some more of 0 or 1 to have the bound as mean; their sum by convolution."""
    n = min(sizes(alpha, extra), 30) if alpha > 0.01 else sizes(alpha, 0)
    bound = Fraction(risk_bound(alpha, n, level))
    chances = [Fraction(weight, sum(weights)) for weight in weights]
    mean = sum(k * chance for k, chance in enumerate(chances)) / 4
    end = 4 if mean < bound else 0
    kept = (bound - Fraction(end, 4)) / (mean - Fraction(end, 4)) if mean != bound else Fraction(1)
    chances = [kept * chance + (1 - kept) * (k == end) for k, chance in enumerate(chances)]
    assert sum(k * chance for k, chance in enumerate(chances)) / 4 == bound
    sums = np.array([1.0])
    for _ in range(n):
        sums = np.convolve(sums, np.array(chances, float))
    within = math.floor(4 * (exact_level(alpha) * (n + 1) - 1))
    assert sums[: within + 1].sum() <= level


def test_bound_falls_with_more_images_and_a_larger_level():
    bounds = [[risk_bound(0.1, n, level) for n in (9, 19, 99, 999)] for level in (1e-6, 0.005, 0.05)]
    assert np.all(np.diff(bounds, axis=0) < 0)
    assert np.all(np.diff(bounds, axis=1) < 0)
    assert risk_bound(0.1, 100_000, 0.005) == pytest.approx(0.1, abs=0.003)  # three standard deviations, 0.3 / 316


def test_half_of_the_level_is_for_the_bound():
    assert DriftWatch(0.1, 9, level=0.01).bound == risk_bound(0.1, 9, 0.005)


def test_a_risk_of_alpha_is_never_bet_against():
    # Nine images at level 0.45: 1 - 0.45^(1/9) = 0.085.
    assert risk_bound(0.1, 9, 0.45) < 0.1 == DriftWatch(0.1, 9, level=0.9).bound


def test_wealth_by_hand():
    watch = DriftWatch(0.1, 50)
    stakes = np.arange(1, 17) / 16  # in units of 1 / bound
    watch.update(1.0)
    # Half of the wealth is bet at once; each stake wins (1 - bound) / bound of itself.
    first = 1 + stakes * (1 - watch.bound) / watch.bound
    assert watch.evidence == pytest.approx(1 / 2 + first.mean() / 2)
    watch.update(0.0)
    # A sixth joins the bets, a third is left. Each stake loses itself, the largest everything.
    second = 1 - stakes
    assert watch.evidence == pytest.approx(1 / 3 + (first * second).mean() / 2 + second.mean() / 6)
    assert (watch.n, watch.n_seen) == (50, 2)


@given(st.lists(st.floats(0, 1), max_size=30), st.sampled_from([0.05, 0.1, 0.3]))
def test_wealth_is_the_mixture_of_products(risks, alpha):
    watch = DriftWatch(alpha, 25, risks=risks)
    factors = [[1 + j / (16 * watch.bound) * (x - watch.bound) for j in range(1, 17)] for x in risks]
    bets = [np.prod(factors[s - 1 :], axis=0).mean() / (s * (s + 1)) for s in range(1, len(risks) + 1)]
    assert watch.evidence == pytest.approx(1 / (len(risks) + 1) + sum(bets), rel=1e-6)
    assert watch.n_seen == len(risks)


def leaves(watch, depth):
    """Number of misses, and the watch, after each sequence of all-or-nothing risks."""
    if not depth:
        return [(0, watch)]
    found = []
    for risk in (0, 1):
        after = copy.copy(watch)
        after.update(risk)
        found += [(misses + risk, leaf) for misses, leaf in leaves(after, depth - 1)]
    return found


def test_the_game_is_fair_and_seldom_won():
    """All sequences of ten all-or-nothing risks with the mean that is bet against, each with its probability."""
    watch = DriftWatch(0.3, 5, level=0.5)
    chances = [(watch.bound**k * (1 - watch.bound) ** (10 - k), leaf) for k, leaf in leaves(watch, 10)]
    assert sum(chance * leaf.evidence for chance, leaf in chances) == pytest.approx(1, rel=1e-12)
    assert 0 < sum(chance for chance, leaf in chances if leaf.broken) <= 0.25


def broken_by_chance(watch, length):
    """Probability that it is broken, of calibrations on uniform scores and as many new images without drift.

    The cutoff at budget 0 is the smallest of n uniform scores, with density n (1 - c)^(n - 1), and each new image is
    missed with probability c: a sequence with k misses has the probability n B(k + 1, length - k + n), B Euler's beta.
    """
    count = [0] * (length + 1)
    for misses, leaf in leaves(watch, length):
        count[misses] += leaf.broken
    n, fact = watch.n, math.factorial
    chance = [Fraction(n * fact(k) * fact(length - k + n - 1), fact(length + n)) for k in range(length + 1)]
    assert sum(math.comb(length, k) * c for k, c in enumerate(chance)) == 1
    return sum(each * c for each, c in zip(count, chance, strict=True))


@pytest.mark.parametrize("level", [0.01, 0.1, 0.4])
def test_without_drift_alarms_are_as_seldom_as_stated(level):
    """Calibration and stream together, exactly."""
    assert broken_by_chance(DriftWatch(0.1, 9, level), 12) <= Fraction(level)


def test_bets_against_alpha_itself_raise_more_false_alarms():
    """So that the test before has teeth: one calibration does not keep alpha, only their mean does."""
    watch = DriftWatch(0.1, 9, level=0.02)  # whose limit is 100
    watch.bound, watch._stakes = 0.1, np.arange(1, 17) / 1.6
    assert broken_by_chance(watch, 12) > Fraction("0.01")


def test_a_drift_is_found_also_when_it_comes_late():
    rng = np.random.default_rng(1)
    for good in (0, 300):
        watch = DriftWatch(0.1, 50, risks=rng.beta(1, 9, good))  # mean 0.1
        assert not watch.broken
        while not watch.broken:
            watch.update(rng.beta(4, 4))  # mean 0.5
        # Half of the largest stake grows by E log(1 + (x / 0.24 - 1) / 2), about 0.4 an image, to 200 * 2 or, from
        # image 300 on, to 200 * 300^2: 6 / 0.4 = 15 and 16.7 / 0.4 = 42 images; twice that is allowed.
        assert watch.n_seen - good <= (84 if good else 30)


@pytest.mark.parametrize(("wealth", "broken"), [(200.0, True), (math.nextafter(200.0, 0), False)])
def test_the_limit_itself_is_enough(monkeypatch, wealth, broken):
    watch = DriftWatch(0.1, 9, level=0.01)  # half of it for the bets: 2 / 0.01 = 200
    monkeypatch.setattr(DriftWatch, "evidence", property(lambda self: wealth))
    watch.update(0.1)
    assert watch.broken is broken
    monkeypatch.setattr(DriftWatch, "evidence", property(lambda self: 1.0))
    watch.update(0.1)
    assert watch.broken is broken  # once found, found


def test_no_amount_of_evidence_overflows():
    watch = DriftWatch(0.1, 1000, risks=[1.0] * 2000)
    assert watch.broken
    assert 1e300 <= watch.evidence < math.inf
    watch = DriftWatch(0.1, 1000, risks=[0.0] * 2000)
    assert 0 < watch.evidence < 1


def test_too_few_images_for_the_level_tell_nothing():
    # (1 - m) <= 5e-17 has no solution among doubles below 1, the largest of which is 1 - 1.1e-16.
    watch = DriftWatch(0.5, 1, level=1e-16, risks=[1.0] * 50)
    assert (watch.bound, watch.can_tell, watch.broken) == (1.0, False, False)
    assert watch.evidence <= 1 + 1e-12
    assert DriftWatch(0.5, 1).can_tell


def test_images_without_foreground_say_nothing():
    watch, other = DriftWatch(0.1, 9, risks=[math.nan, 0.2, math.nan]), DriftWatch(0.1, 9, risks=[0.2])
    assert (watch.n_seen, watch.evidence) == (1, other.evidence)


def test_shares_add_up_to_the_level():
    total = 5 * sum(Fraction(share_of_level(0.01, 5, restart)) for restart in range(200))
    assert float(total) == pytest.approx(0.01 * (1 - 1 / 201))  # 1 / ((k + 1)(k + 2)) = 1 / (k + 1) - 1 / (k + 2)
    assert share_of_level(0.01, 1) == 0.005


@pytest.mark.parametrize("risk", [-0.1, 1.1, math.inf])
def test_what_is_no_risk_is_refused(risk):
    watch = DriftWatch(0.1, 9)
    with pytest.raises(ValueError, match=r"risk must be in \[0, 1\], or NaN .*, got "):
        watch.update(risk)
    assert (watch.n_seen, watch.evidence) == (0, 1)


def test_what_promises_nothing_is_refused():
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\), got 1.5"):
        DriftWatch(1.5, 9)
    with pytest.raises(ValueError, match=r"n must be at least 9 for alpha=0\.1, got 8"):
        DriftWatch(0.1, 8)
    for level, make in product((0, 1, math.nan), (lambda x: DriftWatch(0.1, 9, x), lambda x: share_of_level(x, 1))):
        with pytest.raises(ValueError, match=r"level must be in \(0, 1\), got "):
            make(level)
    for streams, restart in ((0, 0), (1, -1)):
        with pytest.raises(ValueError, match="streams must be at least 1 and restart at least 0"):
            share_of_level(0.01, streams, restart)
