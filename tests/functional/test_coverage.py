# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Coverage against counting by hand and in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

from monai_coat.functional import coverage_gap, true_positive_rate
from tests.functional.strategies import batches, shuffled


def counted(scores, labels, cutoff):
    """Coverage by counting: one image and class at a time."""
    batch, channels = scores.shape[:2]
    cutoffs = np.broadcast_to(np.asarray(cutoff, scores.dtype), (batch, channels))
    rates = np.full((batch, channels), math.nan)
    for b, c in np.ndindex(batch, channels):
        values = scores[b, c][labels[b, c]]
        if values.size:
            rates[b, c] = sum(value >= cutoffs[b, c] for value in values) / values.size
    return rates


def test_ties_are_inside_and_background_does_not_count():
    # Foreground 0.5, 0.5, 0.25, 0.75: at 0.5 three of four are inside, a tie counting as inside.
    scores = torch.tensor([[[0.5, 0.5, 0.25, 0.75, 0.9]]])
    labels = torch.tensor([[[1, 1, 1, 1, 0]]])
    assert true_positive_rate(scores, labels, 0.5).tolist() == [[0.75]]
    assert true_positive_rate(scores, labels, 0.50001).tolist() == [[0.25]]


def test_nine_of_ten_is_point_nine():
    scores = torch.arange(10.0).reshape(1, 1, 10)
    rate = true_positive_rate(scores, torch.ones(1, 1, 10), 1.0)
    assert rate.dtype == torch.float64
    assert rate.item() == 0.9


@settings(deadline=None)
@given(batches(), st.integers(-5, 5))
def test_coverage_is_what_counting_gives(batch, step):
    scores, labels = batch
    found = true_positive_rate(torch.from_numpy(scores), torch.from_numpy(labels), step / 4)
    assert np.array_equal(found.numpy(), counted(scores, labels, step / 4), equal_nan=True)


@settings(deadline=None)
@given(batches(), st.integers(0, 2**31))
def test_one_cutoff_per_class_and_per_image(batch, seed):
    scores, labels = batch
    images, classes = scores.shape[:2]
    for shape in ((classes,), (images, 1), (images, classes)):
        cutoff = np.random.default_rng(seed).integers(-4, 5, shape) / 4
        found = true_positive_rate(torch.from_numpy(scores), torch.from_numpy(labels), torch.from_numpy(cutoff))
        assert np.array_equal(found.numpy(), counted(scores, labels, cutoff), equal_nan=True)


@settings(deadline=None)
@given(batches(), st.lists(st.floats(-2, 2, width=32), min_size=2, max_size=6))
def test_coverage_never_increases_with_the_cutoff(batch, cutoffs):
    scores, labels = (torch.from_numpy(array) for array in batch)
    rates = torch.stack([true_positive_rate(scores, labels, cutoff) for cutoff in sorted(cutoffs)])
    present = labels.flatten(2).any(-1)
    assert bool((rates.diff(dim=0) <= 0)[:, present].all())
    assert bool(torch.isnan(rates[:, ~present]).all())


@settings(deadline=None)
@given(batches(), st.integers(0, 2**31))
def test_order_of_images_classes_and_pixels_plays_no_part(batch, seed):
    pair, moved, reorder = shuffled(*map(torch.from_numpy, batch), seed)
    rate, moved_rate = true_positive_rate(*pair, 0.25), true_positive_rate(*moved, 0.25)
    assert torch.equal(moved_rate.nan_to_num(-1), reorder(rate).nan_to_num(-1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(rng, dtype):
    scores, labels = torch.from_numpy(rng.random((2, 2, 40))).to(dtype), torch.from_numpy(rng.random((2, 2, 40)) < 0.5)
    found = true_positive_rate(scores, labels, 0.5)  # exact in every type
    assert np.array_equal(found.numpy(), counted(scores.double().numpy(), labels.numpy(), 0.5))


def test_half_precision_scores_are_not_compared_in_half_precision():
    # In bfloat16 the cutoff 0.996 would be rounded to 0.99609375, above it, and in float16 0.9999 to 1.
    one = torch.ones(1, 1, 1, dtype=torch.float16)
    assert true_positive_rate(one, one, 1.0001).item() == 0


def test_gradients_and_metadata_are_no_obstacle(rng):
    scores = torch.from_numpy(rng.random((1, 1, 8))).requires_grad_()
    labels = torch.ones(1, 1, 8, requires_grad=True)
    rate = true_positive_rate(scores, labels, 0.5)
    assert not rate.requires_grad
    with_meta = true_positive_rate(MetaTensor(scores.detach()), MetaTensor(labels.detach()), 0.5)
    assert type(with_meta) is torch.Tensor
    assert torch.equal(with_meta, rate)


def test_gap_by_hand():
    # Target 0.9: |0.95 - 0.9| and |0.8 - 0.9|; an image without foreground has none.
    gap = coverage_gap(torch.tensor([[0.95], [0.8], [math.nan]], dtype=torch.float64), alpha=0.1)
    torch.testing.assert_close(gap[:2], torch.tensor([[0.05], [0.1]], dtype=torch.float64))
    assert math.isnan(gap[2, 0])


def test_predicting_everything_has_a_gap_of_alpha():
    assert coverage_gap(torch.ones(3, 1, dtype=torch.float64), 0.1).tolist() == [[pytest.approx(0.1)]] * 3
