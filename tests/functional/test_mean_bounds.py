# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Bounds from sums of risks: their values, that budgets and p-values agree, and how often they are wrong, exactly."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from monai_coat.functional import (
    binomial_budget,
    exact_level,
    hinge_budget,
    hinge_p_value,
    hoeffding_bentkus_budget,
    hoeffding_bentkus_p_value,
)

ALPHAS = st.sampled_from([0.01, 0.05, 0.1, 0.3, 0.5, 0.9])
DELTAS = st.sampled_from([1e-6, 0.01, 0.05, 0.1, 0.5, 0.9])
SIZES = st.integers(1, 300)
PAIRS = pytest.mark.parametrize(
    ("budget_of", "p_value"),
    [(hoeffding_bentkus_budget, hoeffding_bentkus_p_value), (hinge_budget, hinge_p_value)],
)


def hoeffding_bentkus(total, n, alpha):
    """The published formula, by SciPy."""
    mean = min(total / n, alpha)
    divergence = (mean * math.log(mean / alpha) if mean else 0) + (1 - mean) * math.log((1 - mean) / (1 - alpha))
    return min(1, math.exp(-n * divergence), math.e * binom.cdf(math.ceil(total), n, alpha))


def test_two_images_by_hand():
    # A sum of 0: Hoeffding (1 - 1/2)^2, less than e / 4. A sum of 1/2: the mean is 1/4 and
    # exp(-2 h) = (1/2)^(-1/2) (3/2)^(-3/2), less than e * 3/4.
    assert hoeffding_bentkus_p_value(0, 2, 0.5) == pytest.approx(1 / 4, rel=2e-6)
    assert hoeffding_bentkus_p_value(Fraction(1, 2), 2, 0.5) == pytest.approx(2**0.5 * (2 / 3) ** 1.5, rel=2e-6)
    assert hoeffding_bentkus_p_value(1, 2, 0.5) == 1
    # The hinges at t = 1 and t = 2: (1/4) / (1 - s) and (2/4 + 2/4) / (2 - s).
    assert hinge_p_value(0, 2, 0.5) == pytest.approx(1 / 4, rel=2e-6)
    assert hinge_p_value(Fraction(1, 2), 2, 0.5) == pytest.approx(1 / 2, rel=2e-6)
    assert hinge_p_value(2, 2, 0.5) == 1
    # 1 - (1/4) / (1/2), and 2 - (1/4 + 3/4) / (4/5).
    assert float(hinge_budget(2, 0.5, 0.5)) == pytest.approx(1 / 2, abs=1e-5)
    assert float(hinge_budget(2, 0.5, 0.8)) == pytest.approx(3 / 4, abs=1e-5)


@given(SIZES, ALPHAS, st.floats(0, 1))
def test_p_values_are_those_of_the_formula_rounded_up(n, alpha, share):
    total = share * n
    found = hoeffding_bentkus_p_value(Fraction(total), n, alpha)
    assert found == pytest.approx(hoeffding_bentkus(total, n, alpha), rel=1e-5)
    shares = binom.pmf(np.arange(n + 1), n, alpha)
    hinges = [
        (shares * np.maximum(t - np.arange(n + 1), 0)).sum() / (t - total) for t in range(math.floor(total) + 1, n + 1)
    ]
    hinge = hinge_p_value(Fraction(total), n, alpha)
    assert hinge == pytest.approx(min([1.0, *hinges]), rel=1e-5)
    assert hinge <= found * (1 + 1e-9)


@PAIRS
@given(n=SIZES, alpha=ALPHAS, shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_p_values_do_not_fall_with_the_sum(budget_of, p_value, n, alpha, shares):
    small, large = (p_value(Fraction(share) * n, n, alpha) for share in sorted(shares))
    assert 0 < small <= large * (1 + 1e-9)
    assert large <= 1


@PAIRS
@given(n=SIZES, alpha=ALPHAS, delta=DELTAS)
def test_budgets_are_the_largest_sums(budget_of, p_value, n, alpha, delta):
    budget = budget_of(n, alpha, delta)
    assert isinstance(budget, Fraction)
    if budget < 0:
        assert budget == -1
        assert p_value(0, n, alpha) > delta
    else:
        assert budget < exact_level(alpha) * n
        assert p_value(budget, n, alpha) <= delta
        assert p_value(budget + Fraction(n, 10**5), n, alpha) > delta


@given(SIZES, ALPHAS, DELTAS)
def test_no_budget_is_above_the_next_whole_number_after_that_of_all_or_nothing_risks(n, alpha, delta):
    budgets = hoeffding_bentkus_budget(n, alpha, delta), hinge_budget(n, alpha, delta)
    assert budgets[0] - n * 1e-5 <= budgets[1] < binomial_budget(n, alpha, delta) + 1 or budgets[1] == -1


@pytest.mark.parametrize("budget_of", [hoeffding_bentkus_budget, hinge_budget, binomial_budget])
def test_budgets_grow_with_each_argument(budget_of):
    assert np.all(np.diff([float(budget_of(n, 0.1, 0.05)) for n in range(400)]) >= 0)
    assert np.all(np.diff([float(budget_of(200, alpha / 100, 0.05)) for alpha in range(1, 100)]) > 0)
    assert np.all(np.diff([float(budget_of(200, 0.1, delta / 100)) for delta in range(1, 100)]) >= 0)
    # Three standard deviations, 3 * 300: at delta 0.05 the sum of a million is 1.64 of them below its mean.
    assert 100_000 - 3 * 300 < budget_of(1_000_000, 0.1, 0.05) < 100_000 - 300


def test_a_float_that_is_not_whole_is_read_as_the_next_one():
    below = math.nextafter(3.0, 0)
    assert hoeffding_bentkus_p_value(below, 50, 0.1) == hoeffding_bentkus_p_value(3, 50, 0.1)
    above = math.nextafter(3.0, 4)
    assert hoeffding_bentkus_p_value(above, 50, 0.1) >= hoeffding_bentkus_p_value(Fraction(above), 50, 0.1)


@PAIRS
@given(
    n=st.integers(1, 60),
    alpha=ALPHAS,
    delta=DELTAS,
    weights=st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any),
)
def test_graded_risks_are_within_the_budget_as_seldom_as_stated(budget_of, p_value, n, alpha, delta, weights):
    """Exactly: risks of 0, 1/4, ... 1, with some more of 0 or 1 to have the mean alpha; their sum by convolution."""
    chances = np.array(weights) / sum(weights)
    mean = chances @ np.arange(5) / 4
    end = 4 if mean < alpha else 0
    kept = (alpha - end / 4) / (mean - end / 4) if mean != alpha else 1
    chances = kept * chances + (1 - kept) * (np.arange(5) == end)
    sums = np.array([1.0])
    for _ in range(n):
        sums = np.convolve(sums, chances)
    within = math.floor(4 * budget_of(n, alpha, delta))
    assert sums[: max(within + 1, 0)].sum() <= delta * (1 + 1e-9)


@pytest.mark.parametrize("budget_of", [hoeffding_bentkus_budget, hinge_budget])
@pytest.mark.parametrize("common", [0, 0.5, 1])
def test_the_cutoff_chosen_on_the_images_is_too_large_as_seldom_as_stated(budget_of, common):
    """Images of five pixels whose uniform scores are, in part, the same: the mean risk at cutoff c is c."""
    alpha, delta, n, pixels, repetitions = 0.1, 0.1, 60, 5, 4000
    generator = np.random.default_rng(0)
    scores = generator.random((repetitions, n, pixels))
    scores = np.where(generator.random(scores.shape) < common, generator.random((repetitions, n, 1)), scores)
    # The risks add up to a fifth of the scores below the cutoff: the largest cutoff is the score after those allowed.
    allowed = math.floor(pixels * budget_of(n, alpha, delta))
    cutoffs = np.sort(scores.reshape(repetitions, -1))[:, allowed]
    wrong = int((cutoffs > alpha).sum())
    assert binomtest(wrong, repetitions, delta, alternative="greater").pvalue > 1e-4
    assert cutoffs.mean() > alpha / 4  # and not for want of trying


@pytest.mark.parametrize("call", [hoeffding_bentkus_p_value, hinge_p_value])
def test_errors_of_p_values_say_what_to_do(call):
    with pytest.raises(ValueError, match=r"total must be in \[0, 3\], the number of the risks, got 3.5"):
        call(3.5, 3, 0.1)
    with pytest.raises(ValueError, match="n must be at least 1, got 0; count them"):
        call(0, 0, 0.1)
    with pytest.raises(ValueError, match="alpha must be in"):
        call(0, 3, 1)


@pytest.mark.parametrize("call", [hoeffding_bentkus_budget, hinge_budget])
def test_errors_of_budgets_say_what_to_do(call):
    assert call(0, 0.1, 0.1) == -1
    with pytest.raises(ValueError, match="delta must be in"):
        call(3, 0.1, 1)
    call(3, 0.1, 0.1)
    with pytest.raises(TypeError, match=r"n must be a whole number, got float 3\.0"):
        call(3.0, 0.1, 0.1)  # not the answer for 3, which is remembered
