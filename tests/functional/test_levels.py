# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Levels are read as decimals: 0.3 of ten is three, in spite of the double."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.functional import allowed_misses, exact_level, exact_share, images_needed, target_coverage

decimals = st.integers(1, 9999).map(lambda k: Fraction(k, 10000))


@pytest.mark.parametrize(
    ("alpha", "count", "misses"),
    # 0.3 * 10 = 3; 0.29 * 100 = 29, where float arithmetic has 28.999999999999996; 0.1 * 9 = 0.9; 0.7 * 10 = 7.
    [(0.3, 10, 3), (0.29, 100, 29), (0.1, 9, 0), (0.1, 10, 1), (0.7, 10, 7), (0.1, 0, 0), (0.999, 1000, 999)],
)
def test_misses_by_hand(alpha, count, misses):
    assert allowed_misses(alpha, count) == misses


@pytest.mark.parametrize(
    ("alpha", "images"),
    # The least n with alpha * (n + 1) >= 1: 0.1 * 10, 0.01 * 100, 0.2 * 5, 0.5 * 2, 0.3 * 4 (0.3 * 3 is 0.9), 0.9 * 2.
    [(0.1, 9), (0.01, 99), (0.2, 4), (0.5, 1), (0.3, 3), (0.9, 1), (0.05, 19), (0.001, 999)],
)
def test_images_needed_by_hand(alpha, images):
    assert images_needed(alpha) == images


@given(decimals, st.integers(0, 10**9))
def test_misses_are_exact(alpha, count):
    misses = allowed_misses(float(alpha), count)
    assert misses <= alpha * count < misses + 1


@given(decimals)
def test_images_needed_are_exact(alpha):
    n = images_needed(float(alpha))
    assert alpha * (n + 1) >= 1
    assert n == 0 or alpha * n < 1


@given(decimals)
def test_levels_are_the_decimals_they_print_as(alpha):
    assert exact_level(float(alpha)) == alpha
    assert exact_level(np.float64(alpha)) == alpha
    assert target_coverage(float(alpha)) == float(1 - alpha)


def test_target_coverage_is_rounded_once():
    assert 1 - 0.9 != 0.1
    assert target_coverage(0.9) == 0.1


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_every_double_in_the_unit_interval_is_a_level(alpha):
    assert float(exact_level(alpha)) == alpha
    assert images_needed(alpha) >= 1


def test_a_share_may_be_nothing_or_all_and_is_a_decimal_too():
    assert (exact_share(0), exact_share(0.3), exact_share(1)) == (0, Fraction(3, 10), 1)
    with pytest.raises(ValueError, match=r"overlap must be in \[0, 1\], got 1\.5; give 0\.1 for 10 %"):
        exact_share(1.5, "overlap")
    with pytest.raises(TypeError, match=r"share must be a number in .*got bool"):
        exact_share(True)
