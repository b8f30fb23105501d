# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The result is a value: frozen, comparable, its shift is minus its cutoff, and it cannot contradict itself."""

from __future__ import annotations

import dataclasses
import pickle
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.calibration import CalibrationResult, ExpectedRisk, PipelineIdentity
from tests.calibration.rows import EXAMPLES

RESULT = CalibrationResult((0.25, -0.5), 0.1, (99, 120), (1, 0), (0.0875, 0.09), "E[FNR] <= 0.1")


def changed(**entries):
    return dataclasses.replace(RESULT, **entries)


def test_shift_is_minus_the_cutoff():
    assert RESULT.shift == (-0.25, 0.5)


def test_it_is_frozen_hashable_and_compared_by_value():
    with pytest.raises(dataclasses.FrozenInstanceError, match="cutoff"):
        RESULT.cutoff = (0.0, 0.0)
    named = changed(identity=PipelineIdentity({"weights": "a", "scorer": "b"}, {"inferer": "c"}))
    for result in (RESULT, named):
        again = pickle.loads(pickle.dumps(result))
        assert again == result
        assert hash(again) == hash(result)
    assert named == changed(identity=PipelineIdentity({"scorer": "b", "weights": "a"}, {"inferer": "c"}))
    assert changed(method="coat") != RESULT
    assert named != RESULT


IMPOSSIBLE = [
    ({"cutoff": (float("nan"), 0.5)}, "cutoff must hold finite float32 numbers"),
    ({"cutoff": (float("inf"), 0.5)}, "cutoff must hold finite float32 numbers"),
    ({"cutoff": (0.1, 0.5)}, "cutoff must hold finite float32 numbers"),  # the double 0.1 is no float32
    ({"cutoff": (1e300, 0.5)}, "cutoff must hold finite float32 numbers"),
    ({"cutoff": (1e-60, 0.5)}, "cutoff must hold finite float32 numbers"),
    ({"cutoff": ("0.5", 0.5)}, "cutoff must hold finite float32 numbers"),
    ({"cutoff": (0.5,)}, "one entry per class"),
    ({"cutoff": (), "n": (), "n_empty": (), "risk": ()}, "one entry per class"),
    ({"n": (99,)}, "one entry per class"),
    ({"n": (0, 9)}, "n must hold positive whole numbers"),
    ({"n": (9.5, 9)}, "n must hold positive whole numbers"),
    ({"n": (True, 99)}, "n must hold positive whole numbers"),
    ({"n_empty": (-5, 0)}, "n_empty no negative ones"),
    ({"n_empty": (0, False)}, "n_empty no negative ones"),
    ({"risk": (1.5, 0.0)}, r"risk must be in \[0, 1\]"),
    ({"risk": (-0.1, 0.0)}, r"risk must be in \[0, 1\]"),
    ({"risk": (float("nan"), 0.0)}, r"risk must be in \[0, 1\]"),
    ({"risk": ("0.1", 0.0)}, r"risk must be in \[0, 1\]"),
    ({"alpha": 1.0, "guarantee": ""}, "alpha must be in"),
    ({"alpha": float("nan")}, "alpha must be in"),
    # What it says must agree: the level beside words and risk, and the words beside the risk that is controlled.
    ({"alpha": 0.2}, r"guarantee must be about alpha=0\.2, got 'E\[FNR\] <= 0\.1'"),
    ({"guarantee": "E[FNR] <= 0.3"}, r"guarantee must be about alpha=0\.1"),
    ({"guarantee": "E[FNR] <= 0.3 on average over new images"}, r"guarantee must be about alpha=0\.1"),
    ({"guarantee": "E[FNR] <= 0.10; "}, r"guarantee must be about alpha=0\.1"),
    ({"alpha": 0.05, "guarantee": "E[FNR] <= 0.05"}, r"risk must be at most alpha - \(1 - alpha\) / n, 0\.0404"),
    ({"n": (3, 120)}, "these images do not support the promise"),
    ({"risk": (0.99, 0.09)}, "these images do not support the promise"),
    ({"risk": (0.0875, 0.0926)}, r"0\.0925 with alpha=0\.1 and n = 120, got 0\.0926"),
    ({"controls": "false_positive_ratio"}, r"must be about min\(1, false positives / foreground\), got 'E\[FNR\]"),
    ({"controls": "worst_class_false_negative_rate"}, "guarantee must be about FNR of the image's worst class"),
    ({"guarantee": "E[FNR of the image's worst class] <= 0.1"}, "guarantee must be about FNR, got"),
    ({"guarantee": "E[Dice] <= 0.1"}, "guarantee must be about FNR, got"),
]


@pytest.mark.parametrize(("entries", "message"), IMPOSSIBLE)
def test_what_is_impossible_or_contradicts_itself_cannot_be_made(entries, message):
    with pytest.raises(ValueError, match=message):
        changed(**entries)


@pytest.mark.parametrize("entries", [{"alpha": "0.1"}, {"method": ["coat"]}, {"controls": None}, {"kind": 5}])
def test_what_is_of_another_type_cannot_be_made(entries):
    with pytest.raises(TypeError, match=r"alpha must be a number|must be text"):
        changed(**entries)


@given(st.integers(1, 10**5), st.integers(1, 999), st.integers(0, 10**5))
def test_the_mean_risk_may_be_as_large_as_its_images_support_and_no_larger(n, mille, part):
    # Sums of risks at the bound, computed in rational numbers and rounded once, must pass; a millionth more must not.
    alpha = mille / 1000
    budget = Fraction(str(alpha)) * (n + 1) - 1
    if budget < 0:
        return
    allowed = budget * Fraction(part, 10**5)
    for total in (budget, allowed):
        words = f"E[FNR] <= {alpha}"
        assert CalibrationResult((0.5,), alpha, (n,), (0,), (float(total / n),), words).n == (n,)
    with pytest.raises(ValueError, match="these images do not support the promise"):
        CalibrationResult((0.5,), alpha, (n,), (0,), (float(budget / n) * (1 + 1e-6) + 1e-9,), words)


@pytest.mark.parametrize("risk", EXAMPLES.values(), ids=EXAMPLES)
def test_the_words_of_every_risk_fit_that_risk_alone(risk):
    words = ExpectedRisk(risk, 0.1).promise
    assert changed(controls=risk.key, guarantee=words).guarantee == words
    for other in EXAMPLES.values():
        if other.key != risk.key:
            with pytest.raises(ValueError, match="guarantee must be about"):
                changed(controls=other.key, guarantee=words)


def test_another_kind_of_guarantee_may_allow_another_risk():
    assert changed(kind="confident_risk", risk=(0.5, 0.5)).risk == (0.5, 0.5)
