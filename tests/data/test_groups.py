# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.data import partition, split_by_group


def grouped(sizes):
    names = [f"group{k}" for k, size in enumerate(sizes) for _ in range(size)]
    return [{"id": f"{i:04}", "group": name} for i, name in enumerate(names)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=25), st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_no_group_straddles_and_nothing_is_lost(sizes, fraction, seed):
    samples = grouped(sizes)
    rest, held_out = split_by_group(samples, fraction, seed)
    assert rest
    assert held_out
    assert sorted(s["id"] for s in rest + held_out) == [s["id"] for s in samples]
    assert {s["group"] for s in rest}.isdisjoint(s["group"] for s in held_out)
    assert split_by_group(samples[::-1], fraction, seed) == (rest, held_out)


def test_share_is_exact_without_groups():
    rest, held_out = split_by_group([{"id": str(i)} for i in range(50)], fraction=0.1, seed=3)
    assert (len(rest), len(held_out)) == (45, 5)


def test_a_large_group_is_held_out_as_often_as_its_share_says():
    # A group's part is drawn in proportion to the room: 0.3 here. Greedy filling would give 0 or 1.
    held = sum(
        any(s["group"] == "group0" for s in split_by_group(grouped([10] + [1] * 90), 0.3, seed)[1])
        for seed in range(300)
    )
    assert 55 < held < 125  # 90 expected, standard deviation 8


def test_works_on_a_part_of_a_partition():
    parts = partition(grouped([4] * 40), seed=1)
    rest, held_out = split_by_group(parts.part("base_train"), 0.25, seed=1)
    assert len(held_out) == 16
    assert len(rest) + len(held_out) == len(parts.base_train)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 2])
def test_impossible_fractions_are_refused(fraction):
    with pytest.raises(ValueError, match=rf"fraction must be in \(0, 1\), got {fraction}"):
        split_by_group(grouped([1, 1]), fraction)


def test_one_group_cannot_be_split():
    with pytest.raises(ValueError, match=r"samples must form at least 2 groups to be split, got 1; add data"):
        split_by_group(grouped([9]), 0.5)


def test_repeated_ids_are_refused():
    with pytest.raises(ValueError, match=r"samples must have unique ids, got '0000' twice"):
        split_by_group(grouped([1, 1]) * 2, 0.5)
