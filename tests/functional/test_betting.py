# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Bets on a small mean risk: their wealth, fair games that are seldom won however often one looks, the bounds."""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from monai_coat.functional import betting_evidence, betting_lower_bound, betting_p_value, betting_upper_bound

ALPHAS = st.sampled_from([0.01, 0.05, 0.1, 0.3, 0.5, 0.9])
RISKS = st.lists(st.floats(0, 1), min_size=1, max_size=40)
SHARES = [Fraction(math.sqrt(0.5**j)) for j in range(16)]


def wealth(risks, alpha):
    """The mixture, in rational numbers; shares differ from those of the product by rounding only."""
    total = Fraction(0)
    for share in SHARES:
        product = share
        for risk in risks:
            product *= 1 - share + share * (1 - Fraction(risk)) / (1 - Fraction(alpha))
        total += product
    return total / sum(SHARES)


def test_wealth_by_hand():
    # At alpha 1/2 what is staked doubles without loss, and is lost with a risk of 1: the factors are 1 + s and 1 - s.
    shares = np.array([2 ** (-j / 2) for j in range(16)])
    weights = shares / shares.sum()
    assert betting_evidence([], 0.5) == 0
    assert betting_evidence([0], 0.5) == pytest.approx(math.log(weights @ (1 + shares)), abs=1e-10)
    assert betting_evidence([0, 1], 0.5) == pytest.approx(math.log(weights @ (1 - shares**2)), abs=1e-10)
    assert betting_evidence([0.5] * 9, 0.5) == pytest.approx(0, abs=1e-9)
    assert betting_p_value([1] * 5000, 0.5) == 1


@given(RISKS, ALPHAS)
def test_wealth_is_that_of_rational_numbers_rounded_down(risks, alpha):
    exact = wealth(risks, alpha)
    logarithm = math.log(exact.numerator) - math.log(exact.denominator)
    assert logarithm - 1e-9 < betting_evidence(risks, alpha) < logarithm


@given(RISKS, ALPHAS, st.randoms(use_true_random=False))
def test_the_order_does_not_matter_to_the_last_bit(risks, alpha, random):
    before = betting_evidence(risks, alpha)
    random.shuffle(risks)
    assert betting_evidence(risks, alpha) == before


@given(RISKS, ALPHAS, st.data())
def test_evidence_falls_with_each_risk_and_rises_with_the_level(risks, alpha, data):
    index = data.draw(st.integers(0, len(risks) - 1))
    more = [*risks]
    more[index] = data.draw(st.floats(risks[index], 1))
    found = betting_evidence(risks, alpha)
    assert betting_evidence(more, alpha) <= found + 1e-12 * len(risks)
    assert betting_evidence(risks, (1 + alpha) / 2) >= found - 1e-12 * len(risks)


@pytest.mark.parametrize("n", [1, 10, 200])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.5])
def test_the_game_is_fair(n, alpha):
    """The mean of E over all-or-nothing risks with the mean alpha is 1."""
    values = [math.exp(betting_evidence([1.0] * k + [0.0] * (n - k), alpha)) for k in range(n + 1)]
    assert binom.pmf(np.arange(n + 1), n, alpha) @ values == pytest.approx(1, rel=1e-8)


@pytest.mark.parametrize(("alpha", "delta"), [(0.1, 0.1), (0.1, 0.5), (0.3, 0.1)])
@pytest.mark.parametrize("half", [0, 0.5])
def test_it_is_seldom_won_however_often_one_looks(alpha, delta, half):
    """Exactly: the probability that E has ever reached 1 / delta, of risks 0, 1/2 and 1 with the mean alpha."""
    chances = {0.5: half * alpha, 1.0: alpha - half * alpha / 2}
    chances[0.0] = 1 - sum(chances.values())
    states, won = {(0, 0): 1.0}, 0.0  # halves and ones so far, and the probability to be there without having won
    for n in range(1, 41):
        following = defaultdict(float)
        for (halves, ones), chance in states.items():
            for risk, share in chances.items():
                following[halves + (risk == 0.5), ones + (risk == 1)] += chance * share
        states = {}
        for (halves, ones), chance in following.items():
            risks = [0.5] * halves + [1.0] * ones + [0.0] * (n - halves - ones)
            if chance and betting_p_value(risks, alpha) <= delta:
                won += chance
            elif chance:
                states[halves, ones] = chance
    assert 0 < won <= delta


def test_bounds_are_where_the_evidence_is_enough():
    risks = np.random.default_rng(0).beta(1, 9, 100)
    upper, lower = betting_upper_bound(risks, 0.05), betting_lower_bound(risks, 0.05)
    assert lower < risks.mean() < upper
    assert betting_p_value(risks, upper) <= 0.05 < betting_p_value(risks, upper - 1e-6)
    assert betting_p_value(1 - risks, 1 - lower) <= 0.05 < betting_p_value(1 - risks, 1 - lower - 1e-6)
    assert betting_upper_bound(risks, 0.01) > upper
    assert (betting_lower_bound([], 0.05), betting_upper_bound([], 0.05)) == (0, 1)


@given(RISKS)
def test_the_lower_bound_is_the_upper_bound_of_the_rest(risks):
    mirrored = 1 - betting_upper_bound(1 - np.array(risks), 0.1)
    assert betting_lower_bound(risks, 0.1) == pytest.approx(mirrored, abs=3e-9)


@pytest.mark.parametrize(("a", "b"), [(1, 9), (0.05, 0.45), (3.5, 31.5)])
def test_bounds_are_wrong_as_seldom_as_stated(a, b):
    generator, repetitions, delta = np.random.default_rng(0), 300, 0.2
    samples = generator.beta(a, b, (repetitions, 60))
    above = sum(betting_upper_bound(sample, delta) < 0.1 for sample in samples)
    below = sum(betting_lower_bound(sample, delta) > 0.1 for sample in samples)
    for wrong in (above, below):
        assert binomtest(wrong, repetitions, delta, alternative="greater").pvalue > 1e-4


def test_little_variation_makes_a_bound_that_the_sum_alone_cannot():
    # Sixty risks of 0.05: all of the wealth on each image gives (0.95 / 0.9)^60 = 25.6, of weight 0.29 in the mixture.
    # Sixty risks whose sum is also 3, three of them 1, lose it.
    assert betting_p_value([0.05] * 60, 0.1) < 0.1
    assert betting_p_value([1.0] * 3 + [0.0] * 57, 0.1) > 0.4


@pytest.mark.parametrize(
    ("risks", "match"),
    [
        ([0.1, math.nan], r"risks must be in \[0, 1\], got nan; pass fractions"),
        ([0.1, 1.5], r"risks must be in \[0, 1\], got 1.5"),
        ([[0.1]], r"risks must have shape \(n,\).*got \(1, 1\)"),
    ],
)
@pytest.mark.parametrize("call", [betting_evidence, betting_p_value, betting_upper_bound, betting_lower_bound])
def test_errors_say_what_to_do(call, risks, match):
    with pytest.raises(ValueError, match=match):
        call(risks, 0.1)


def test_levels_must_be_in_the_unit_interval():
    with pytest.raises(ValueError, match="alpha must be in"):
        betting_evidence([0.1], 1)
    with pytest.raises(ValueError, match="delta must be in"):
        betting_upper_bound([0.1], 1)
