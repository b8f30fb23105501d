# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Ranks with ties, and rows that keep image and class apart."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.functional.ranks import kth_largest, map_rows


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9), st.data())
def test_so_many_values_are_at_or_above_a_cutoff_if_and_only_if_the_score_of_the_rank_is(values, data):
    rank = data.draw(st.integers(1, len(values)))
    found = kth_largest(torch.tensor(values).float(), rank)
    assert found.shape == (1,)
    for cutoff in range(-4, 5):
        assert (sum(value >= cutoff for value in values) >= rank) == (float(found) >= cutoff)


@pytest.mark.parametrize("rank", [0, 3])
def test_a_rank_that_is_not_there_is_refused(rank):
    with pytest.raises(ValueError, match=f"rank must be from 1 to the 2 values, got {rank}; count from the largest"):
        kth_largest(torch.tensor([0.5, 0.25]), rank)


def test_rows_are_of_one_image_and_class_class_fastest():
    scores = torch.arange(24).float().reshape(2, 3, 2, 2)
    rows, masks, shape = map_rows(scores, scores % 2)
    assert shape == (2, 3)
    assert torch.equal(rows[4], scores[1, 1].flatten())
    assert masks[4].tolist() == [False, True, False, True]


def test_rows_pass_a_float32_cutoff_as_their_scores_do():
    rows, _, _ = map_rows(torch.tensor([[[1 - 1e-9, 1.0]]], dtype=torch.float64), torch.zeros(1, 1, 2))
    assert rows.dtype == torch.float32
    assert (rows >= 1).tolist() == [[False, True]]


def test_maps_are_checked():
    with pytest.raises(ValueError, match="finite"):
        map_rows(torch.tensor([[[torch.nan]]]), torch.ones(1, 1, 1))
