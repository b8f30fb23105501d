# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from monai_coat.calibration import audit_groups, audit_worst_slab, size_strata


def test_groups_by_hand_with_holm():
    # Of 0 or 1 at alpha 1/2: none lost of 6 has p = 1, 5 of 5 has 1/32, 6 of 6 has 1/64. Holm at 0.05 with three
    # groups: 1/64 <= 0.05/3 is rejected, 1/32 <= 0.05/2 is not, although it is below 0.05.
    risks = [0] * 6 + [1] * 5 + [1] * 6 + [math.nan]
    names = np.array(["a"] * 6 + ["b"] * 5 + ["c"] * 7)
    found = audit_groups(risks, {name: names == name for name in "abc"}, 0.5, binary=True)
    assert [(g.n, g.mean, g.above) for g in found] == [(6, 0, False), (5, 1, False), (6, 1, True)]
    assert [g.p_value for g in found] == pytest.approx([1, 1 / 32, 1 / 64], rel=1e-5)
    # With two groups 1/64 <= 0.05/2 frees the rest: 1/32 <= 0.05.
    both = audit_groups(risks, {name: names == name for name in "bc"}, 0.5, binary=True)
    assert [g.above for g in both] == [True, True]


def test_a_group_of_no_image_that_counts_is_said_so():
    (found,) = audit_groups([math.nan, 0.5], {"none": [True, False]}, 0.1)
    assert (found.n, found.interval, found.p_value, found.above) == (0, (0.0, 1.0), 1.0, False)
    assert math.isnan(found.mean)
    assert audit_groups([0.5], {}, 0.1) == ()


def test_any_wrong_group_is_as_rare_as_stated():
    rng, runs = np.random.default_rng(0), 200
    groups = {str(k): np.arange(100) % 5 == k for k in range(5)}
    wrong = 0
    for _ in range(runs):
        risks = rng.random(100) < 0.3
        wrong += any(g.above for g in audit_groups(risks, groups, 0.3, level=0.1, binary=True))
    assert wrong <= binom.ppf(0.999, runs, 0.1)


@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, math.nan]), max_size=30))
def test_strata_divide_what_is_there_in_order(sizes):
    strata, values = size_strata(sizes), np.array(sizes)
    if not strata:
        assert len({size for size in sizes if size > 0}) < 3
        return
    assert np.array_equal(np.sum(list(strata.values()), 0), np.nan_to_num(values) > 0)
    tops = [(values[inside].max(initial=-1), values[inside].min(initial=2)) for inside in strata.values()]
    assert tops[0][0] < tops[1][1] or not strata["middling"].any()
    assert tops[1][0] < tops[2][1] or not strata["large"].any()


def test_thirds_are_thirds():
    assert [int(inside.sum()) for inside in size_strata(np.arange(1, 31)).values()] == [10, 10, 10]


def test_the_worst_slab_is_found_and_measured_on_others():
    rng = np.random.default_rng(1)
    features = rng.random((600, 2))
    risks = np.where(features @ [0.6, 0.8] > 1.0, 0.9, 0.05)
    found = audit_worst_slab(risks, features, alpha=0.1, seed=2)
    assert found.measured.mean > 0.7
    assert found.measured.p_value < 1e-6
    assert 0.15 < found.share < 0.4
    assert np.linalg.norm(found.direction) == pytest.approx(1)
    # Between the planes lie as many of the measured half as it says, and the slab looks the way of the risk.
    assert found.measured.n == round(found.share * 300)
    assert abs(np.dot(found.direction, [0.6, 0.8])) > 0.8
    assert audit_worst_slab(risks, features, alpha=0.1, seed=2) == found


def test_where_there_is_no_worse_slab_its_interval_does_not_say_so():
    rng, runs = np.random.default_rng(3), 60
    wrong = 0
    for seed in range(runs):
        found = audit_worst_slab(rng.random(200) < 0.2, rng.random((200, 3)), 0.2, seed, binary=True)
        wrong += found.measured.p_value <= 0.1
    assert wrong <= binom.ppf(0.999, runs, 0.1)


def test_few_images_or_one_look_have_no_slab():
    features = np.linspace(0, 1, 50)[:, None]
    assert audit_worst_slab([math.nan] * 11 + [1.0] * 39, features, 0.1) is None
    assert audit_worst_slab([1.0] * 50, np.ones((50, 2)), 0.1) is None
    with pytest.raises(ValueError, match="a row for each of the 3 images"):
        audit_worst_slab([1.0] * 3, features, 0.1)
    with pytest.raises(ValueError, match="say of each of the 3 images, got 2 of 'x'"):
        audit_groups([1.0] * 3, {"x": [True, False]}, 0.1)
