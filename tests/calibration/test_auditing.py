# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The audit of a mean risk: numbers by hand, exact probabilities of a false alarm, and power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, binom

from monai_coat.calibration import AuditedPromise, audit_mean, excess_p_value, mean_interval, risk_bound
from monai_coat.calibration.mean_tests import shortfall_p_value, upper_bound
from monai_coat.functional import betting_p_value, clopper_pearson

RISKS = st.lists(st.sampled_from([0.0, 0.125, 0.5, 0.875, 1.0]), min_size=1, max_size=30)
LEVELS = st.sampled_from([0.01, 0.05, 0.2])


def test_p_value_by_hand():
    # One calibration image at alpha 1/2: it must lose nothing, and does with probability 1 - m: the limit at d is
    # 1 - d. Two audit images are lost, which has probability (1 - d)^2 at the limit: (1 - d)^2 = d at
    # d = (3 - sqrt 5) / 2.
    found = audit_mean([1, 1], AuditedPromise(0.5, 1, binary=True))
    assert found.p_value == pytest.approx(3 - math.sqrt(5), rel=1e-4)
    # Of three, (1 - d)^3 = d at d = 0.317672, a root of d^3 - 3 d^2 + 4 d - 1.
    root = next(r.real for r in np.roots([1, -3, 4, -1]) if abs(r.imag) < 1e-9)
    assert audit_mean([1, 1, 1], AuditedPromise(0.5, 1, binary=True)).p_value == pytest.approx(2 * root, rel=1e-4)
    # One is lost with probability 1 - d, which is at most d from 1/2 on: there the p-value is 1.
    assert audit_mean([1], AuditedPromise(0.5, 1, binary=True)).p_value == pytest.approx(1, rel=1e-4)


def test_a_promise_about_this_calibration_is_held_against_alpha_alone():
    found = audit_mean([1, 1, 0, math.nan], AuditedPromise(0.25, 9, delta=0.1, binary=True))
    # Two or more of three, of probability 1/4 each: 3 * (1/16) * (3/4) + 1/64 = 10/64.
    assert found.p_value == pytest.approx(10 / 64, rel=1e-5)
    assert (found.limit, found.n, found.n_left_out, found.mean) == (0.25, 3, 1, pytest.approx(2 / 3))
    assert found.interval == clopper_pearson(2, 3)
    assert found.verdict == "open"


@given(st.integers(0, 12), st.integers(1, 12), st.floats(0.01, 0.99))
def test_binary_tests_are_binomial(lost, n, mean):
    lost = min(lost, n)
    risks = np.array([1.0] * lost + [0.0] * (n - lost))
    assert excess_p_value(risks, mean, binary=True) == pytest.approx(binom.sf(lost - 1, n, mean), rel=1e-5)
    assert shortfall_p_value(risks, mean, binary=True) == pytest.approx(binom.cdf(lost, n, mean), rel=1e-5)
    high = upper_bound(risks, 0.05, binary=True)
    assert high == pytest.approx(beta.ppf(0.95, lost + 1, n - lost) if lost < n else 1, rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(RISKS, st.integers(9, 80), LEVELS)
def test_broken_is_what_the_inequality_at_half_the_level_says(risks, n, level):
    """The p-value and the rule that it stands for agree at every level."""
    promise = AuditedPromise(0.1, n)
    found = audit_mean(risks, promise, level)
    limit = max(0.1, risk_bound(0.1, n, level / 2))
    excess = betting_p_value(1 - np.array(risks), 1 - limit) if limit < 1 else 1.0
    if not math.isclose(excess, level / 2, rel_tol=1e-4):
        assert (found.p_value <= level) == (excess <= level / 2)
    assert found.interval[0] <= found.mean <= found.interval[1]
    assert found.verdict == ("broken" if found.p_value <= level else "kept" if found.upper <= limit else "open")


@settings(max_examples=60, deadline=None)
@given(RISKS, st.integers(9, 80), st.randoms(use_true_random=False))
def test_order_is_no_matter_and_more_risk_is_more_evidence(risks, n, random):
    promise, shuffled = AuditedPromise(0.1, n), random.sample(risks, len(risks))
    assert audit_mean(shuffled, promise) == audit_mean(risks, promise)
    raised = [min(1.0, risk + 0.125) for risk in risks]
    assert audit_mean(raised, promise).p_value <= audit_mean(risks, promise).p_value * (1 + 1e-6)


@pytest.mark.parametrize("mean", [0.05, 0.5])
def test_so_many_more_images_would_tell(mean):
    risks = [0.0, 2 * mean] * 5
    found = audit_mean(risks, AuditedPromise(0.1, 200))
    assert found.verdict == "open"
    assert "about" in found.sentence
    many = audit_mean(risks * math.ceil((found.n + found.more) / 10), AuditedPromise(0.1, 200))
    assert many.verdict == ("kept" if mean < 0.1 else "broken")
    assert many.more is None


def test_where_the_mean_is_the_limit_no_number_of_images_tells():
    found = audit_mean([0.1] * 20 + [0.0, 0.2] * 5, AuditedPromise(0.1, 9, delta=0.1))
    assert found.more is None
    assert "not even many more would" in found.sentence


def test_where_the_limit_is_one_nothing_is_kept():
    # At this level the one calibration image says nothing: no mean risk is above the limit, and none is found below.
    found = audit_mean([0.0] * 50, AuditedPromise(0.5, 1), level=1e-16)
    assert (found.limit, found.verdict, found.more) == (1.0, "open", None)


def test_words_say_what_is_above_and_what_chance_explains():
    at = {risk: audit_mean([risk] * 400, AuditedPromise(0.1, 46)) for risk in (0.02, 0.15, 0.3)}
    assert [found.verdict for found in at.values()] == ["kept", "kept", "broken"]
    assert "0.1 was promised" in at[0.02].sentence
    assert "yet with this one calibration it is above 0.1: calibrate on more images" in at[0.15].sentence
    assert "chance in one on 46 images explains at most 0.210" in at[0.3].sentence
    unsure = audit_mean([0.0, 0.4] * 100, AuditedPromise(0.1, 46))
    assert unsure.verdict == "open"
    assert "it is above 0.1 with this one calibration, but there are too few images to tell" in unsure.sentence
    assert "above the 0.210 that chance in a calibration on 46 images explains" in unsure.sentence
    confident = audit_mean([0.3] * 400, AuditedPromise(0.1, 46, delta=0.05))
    assert "or the calibration is one of that share" in confident.sentence


def alarm_chance(alpha, n, audited, level):
    """Exactly: scores uniform, one pixel an image; the mean risk at the cutoff is the k-th smallest of n scores."""
    k = math.floor(alpha * (n + 1) - 1 + 1e-9) + 1
    promise = AuditedPromise(alpha, n, binary=True)
    lost = np.arange(audited + 1)
    broken = [audit_mean([1] * s + [0] * (audited - s), promise, level).p_value <= level for s in lost]
    first = broken.index(True) if any(broken) else audited + 1
    assert broken == [s >= first for s in lost]
    return quad(lambda c: beta.pdf(c, k, n - k + 1) * binom.sf(first - 1, audited, c), 0, 1)[0]


@pytest.mark.parametrize(("n", "audited"), [(9, 60), (46, 60), (200, 60)])
@pytest.mark.parametrize("level", [0.05, 0.3])
def test_false_alarms_are_as_rare_as_stated_exactly(n, audited, level):
    assert alarm_chance(0.1, n, audited, level) <= level


def images(rng, count, shift=0.0):
    """Scores of ten foreground pixels each; those of one image are alike."""
    ease = rng.beta(4, 1, (count, 1)) - shift
    return np.clip(ease + 0.2 * rng.standard_normal((count, 10)), 0, 1).round(3)


def cutoff_of(scores, alpha):
    """Conformal risk control, by trying every cutoff."""
    budget = alpha * (len(scores) + 1) - 1
    return max(c for c in np.unique(scores) if (scores < c).mean(1).sum() <= budget + 1e-9)


def broken(rng, shift, runs, level):
    found = 0
    for _ in range(runs):
        cutoff = cutoff_of(images(rng, 60), 0.2)
        risks = (images(rng, 150, shift) < cutoff).mean(1)
        found += audit_mean(risks, AuditedPromise(0.2, 60), level).verdict == "broken"
    return found


def test_a_calibration_that_is_right_is_seldom_called_broken_and_one_that_is_not_often():
    rng, runs, level = np.random.default_rng(5), 100, 0.2
    # With probability level at most each: more than this many of 100 has a probability below 0.001.
    assert broken(rng, 0.0, runs, level) <= binom.ppf(0.999, runs, level)
    assert broken(rng, 0.4, 20, 0.05) >= 18


@pytest.mark.parametrize(
    ("risks", "level", "said"),
    [
        ([math.nan], 0.05, "at least one image that counts, got none of 1"),
        ([], 0.05, "got none of 0"),
        ([1.5], 0.05, r"in \[0, 1\]"),
        ([0.5], 0.0, r"level must be in \(0, 1\)"),
    ],
)
def test_what_cannot_be_audited_is_refused(risks, level, said):
    with pytest.raises(ValueError, match=said):
        audit_mean(risks, AuditedPromise(0.1, 20), level)


def test_risks_between_are_not_binary():
    for test in (lambda r: mean_interval(r, binary=True), lambda r: excess_p_value(r, 0.1, binary=True)):
        with pytest.raises(ValueError, match=r"risks must be 0 or 1 if binary, got 0\.5"):
            test([0.0, 0.5])
