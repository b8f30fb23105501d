# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Binomial tails against SciPy and rational numbers: p-values, budgets and the interval of Clopper and Pearson."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from monai_coat.functional import binomial_budget, binomial_p_value, clopper_pearson, exact_level
from monai_coat.functional.binomial_tails import log_binomials

ALPHAS = st.sampled_from([0.01, 0.05, 0.1, 0.3, 0.5, 0.9])
DELTAS = st.sampled_from([1e-6, 0.01, 0.05, 0.1, 0.5, 0.9])
SIZES = st.integers(1, 300)


def tail(most, n, mean):
    """P(Bin(n, mean) <= most), a rational number."""
    return sum(math.comb(n, k) * mean**k * (1 - mean) ** (n - k) for k in range(most + 1))


def test_two_coins_by_hand():
    # P(B <= 0) = 1/4, P(B <= 1) = 3/4.
    assert [binomial_p_value(k, 2, 0.5) for k in (0, 1, 2)] == pytest.approx([0.25, 0.75, 1.0], rel=2e-6)
    assert [binomial_budget(2, 0.5, delta) for delta in (0.2, 0.3, 0.8)] == [-1, 0, 1]
    assert binomial_budget(0, 0.5, 0.5) == -1


@given(SIZES, ALPHAS, st.data())
def test_p_values_are_exact_and_rounded_up(n, alpha, data):
    k = data.draw(st.integers(0, n))
    exact = tail(k, n, exact_level(alpha))
    assert exact <= Fraction(binomial_p_value(k, n, alpha)) <= min(1, exact * Fraction("1.000002"))


@given(SIZES, ALPHAS, DELTAS)
def test_budgets_are_the_largest_whole_numbers(n, alpha, delta):
    budget = binomial_budget(n, alpha, delta)
    assert isinstance(budget, Fraction)
    assert -1 <= budget < n
    assert budget == -1 or binomial_p_value(budget, n, alpha) <= delta
    assert binomial_p_value(budget + 1, n, alpha) > delta


@pytest.mark.parametrize("n", [10_000, 1_000_000])
@pytest.mark.parametrize("delta", [1e-6, 0.05])
def test_budgets_of_many_images(n, delta):
    k = int(binomial_budget(n, 0.1, delta))
    assert binom.cdf(k, n, 0.1) <= delta < binom.cdf(k + 1, n, 0.1)


def test_coefficients_of_a_million_are_exact_to_a_part_of_what_is_rounded():
    found = log_binomials(1_000_000)
    for k in (1, 10, 1000):  # as whole numbers, whose logarithms Python takes exactly
        assert found[k] == pytest.approx(math.log(math.comb(1_000_000, k)), abs=5e-8)
    assert found[0] == found[-1] == pytest.approx(0, abs=5e-8)


@given(SIZES, st.sampled_from([0.5, 0.9, 0.95, 0.99]), st.data())
def test_intervals_are_those_of_the_beta_distribution(n, level, data):
    k, side = data.draw(st.integers(0, n)), (1 - level) / 2
    low, high = clopper_pearson(k, n, level)
    assert low == pytest.approx(beta.ppf(side, k, n - k + 1) if k else 0, rel=1e-4, abs=1e-12)
    assert high == pytest.approx(beta.ppf(1 - side, k + 1, n - k) if k < n else 1, rel=1e-4)
    assert low <= k / n <= high
    assert (1 - high, 1 - low) == pytest.approx(clopper_pearson(n - k, n, level), abs=1e-12)


@pytest.mark.parametrize("mean", [0.02, 0.1, 0.3, 0.5])
def test_intervals_contain_the_probability_as_often_as_stated(mean):
    """Exactly, over all outcomes of thirty trials."""
    inside = [low <= mean <= high for low, high in (clopper_pearson(k, 30, 0.9) for k in range(31))]
    assert binom.pmf(np.arange(31), 30, mean)[inside].sum() >= 0.9


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: binomial_p_value(0.5, 3, 0.1), ValueError, "total must be whole, got 0.5.*hinge_p_value"),
        (lambda: binomial_p_value(4, 3, 0.1), ValueError, r"total must be in \[0, 3\]"),
        (lambda: binomial_p_value(math.nan, 3, 0.1), ValueError, r"total must be in \[0, 3\].*got nan"),
        (lambda: binomial_p_value(0, 0, 0.1), ValueError, "n must be at least 1, got 0"),
        (lambda: binomial_p_value(0, 2.5, 0.1), TypeError, "n must be a whole number, got float 2.5"),
        (lambda: binomial_budget(-1, 0.1, 0.1), ValueError, "n must be at least 0, got -1"),
        (lambda: binomial_budget(3, 1.5, 0.1), ValueError, "alpha must be in"),
        (lambda: binomial_budget(3, 0.1, 0), ValueError, r"delta must be in \(0, 1\), got 0.0"),
        (lambda: binomial_budget(3, 0.1, "5%"), TypeError, "delta must be a number .* got str"),
        (lambda: clopper_pearson(4, 3), ValueError, "k must be at most n=3, got 4"),
        (lambda: clopper_pearson(1, 3, 95), ValueError, r"level must be in \(0, 1\), got 95.0"),
    ],
)
def test_errors_say_what_to_do(call, error, match):
    with pytest.raises(error, match=match):
        call()
