# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A calibration in one line: whoever types a printed cutoff keeps the promise."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.calibration import CalibrationResult, printed_cutoffs, summary_of

float32s = st.floats(-(2.0**127), 2.0**127, width=32)  # beyond, a class has no promise


def result_of(cutoff, controls="false_negative_rate"):
    return CalibrationResult((cutoff,), 0.1, (99,), (1,), (0.0875,), "", controls=controls)


def single(text):
    """The cutoff of whoever types it into single precision, which beyond the largest number is infinity."""
    with np.errstate(over="ignore"):
        return np.float32(text)


@given(float32s, st.integers(1, 15))
def test_what_is_missed_has_its_cutoff_rounded_down_by_less_than_one_digit(cutoff, digits):
    for controls in ("false_negative_rate", "worst_class_false_negative_rate"):
        (text,) = printed_cutoffs(result_of(cutoff, controls), digits)
        exact, typed = Decimal(cutoff), Decimal(text)
        assert typed <= exact
        assert float(text) <= cutoff
        assert single(text) <= np.float32(cutoff)
        assert exact - typed < Decimal(10) ** (max(exact.adjusted(), typed.adjusted()) - digits + 1)


@given(float32s, st.integers(1, 15))
def test_false_positives_have_their_cutoff_rounded_up_by_less_than_one_digit(cutoff, digits):
    (text,) = printed_cutoffs(result_of(cutoff, "false_positive_ratio"), digits)
    exact, typed = Decimal(cutoff), Decimal(text)
    assert typed >= exact
    assert float(text) >= cutoff
    assert single(text) >= np.float32(cutoff)
    assert typed - exact < Decimal(10) ** (max(exact.adjusted(), typed.adjusted()) - digits + 1)


@pytest.mark.parametrize(
    ("cutoff", "missed", "false_positive"),
    [
        (0.0039215688593685627, "0.00392156", "0.00392157"),  # 1 / 255 as float32
        (-0.0039215688593685627, "-0.00392157", "-0.00392156"),
        (0.25, "0.25", "0.25"),
        (0.0, "0", "0"),
        (10.0, "10", "10"),
        (-100.0, "-100", "-100"),
        (1.401298464324817e-45, "1.40129e-45", "1.4013e-45"),
    ],
)
def test_cutoffs_by_hand(cutoff, missed, false_positive):
    assert printed_cutoffs(result_of(cutoff)) == (missed,)
    assert printed_cutoffs(result_of(cutoff, "false_positive_ratio")) == (false_positive,)


def test_the_line_has_cutoffs_promise_and_numbers_of_images():
    result = CalibrationResult((0.25, -0.5), 0.1, (99, 120), (1, 0), (0.0875, 0.09), "E[FNR] <= 0.1", "coat")
    assert summary_of(result) == "cutoff 0.25, -0.5: E[FNR] <= 0.1; n = 99, 120, 1, 0 left out"
