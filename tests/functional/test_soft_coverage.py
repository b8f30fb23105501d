# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Soft coverage: by hand, in its limit, of sketches, and its gradient by hand against autograd's."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

from monai_coat.functional import foreground_sketch, soft_true_positive_rate, true_positive_rate
from tests.functional.strategies import batches, shuffled


def test_soft_rate_by_hand():
    # sigmoid(0) = 1/2 and sigmoid(ln 3) = 3/4, so with T = 1/2 the scores 0 and ln(3) / 2 give (1/2 + 3/4) / 2 = 5/8.
    scores = torch.tensor([[[0.0, math.log(3) / 2, -7.0]]], dtype=torch.float64)
    assert soft_true_positive_rate(scores, torch.tensor([[[1, 1, 0]]]), 0.5).item() == pytest.approx(0.625, abs=1e-12)


@settings(deadline=None)
@given(batches())
def test_soft_rate_tends_to_the_rate(batch):
    # Scores are multiples of 1/4 and the shift keeps them 1/8 away from 0: sigmoid(-1/8 / T) is the largest error.
    scores, labels = torch.from_numpy(batch[0]).double() + 0.125, torch.from_numpy(batch[1])
    rate = true_positive_rate(scores, labels, 0.0)
    for temperature in (0.1, 0.03, 0.01, 0.003, 1e-6):
        soft = soft_true_positive_rate(scores, labels, temperature)
        bound = 1 / (1 + math.exp(min(0.125 / temperature, 700.0)))
        torch.testing.assert_close(soft, rate, atol=bound + 1e-12, rtol=0, equal_nan=True)


def test_soft_rate_of_a_sketch_skips_rows_without_foreground():
    margins = torch.tensor([[[0.25, 0.5]], [[math.nan, math.nan]]], requires_grad=True)
    soft = soft_true_positive_rate(margins, None, 0.5)
    assert torch.equal(soft[0], soft_true_positive_rate(margins[:1].detach(), torch.ones(1, 1, 2), 0.5)[0])
    assert torch.isnan(soft[1, 0])
    soft.sum().backward()  # NaN flows back into the empty row, and must get lost there
    assert bool((margins.grad[0] > 0).all())
    assert torch.equal(margins.grad[1], torch.zeros(1, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_soft_rate_of_a_half_precision_sketch_is_float32(dtype):
    margins = MetaTensor(torch.linspace(-0.2, 0.3, 64).reshape(1, 1, 64).to(dtype))
    soft = soft_true_positive_rate(margins, None, 0.05)
    assert type(soft) is torch.Tensor
    assert torch.equal(soft, soft_true_positive_rate(margins.as_tensor().float(), None, 0.05))


@pytest.mark.parametrize("points", [1, 3, 16, 512])
@pytest.mark.parametrize("temperature", [1e-3, 0.05, 1.0])
def test_a_sketch_is_at_most_one_cell_off(rng, points, temperature):
    # In a cell the mean of the sigmoids and the sigmoid of the mean lie between its ends, and the cells span 1 at most.
    probs = torch.from_numpy(rng.beta(0.5, 0.5, (6, 1, 50)))
    labels = torch.from_numpy(rng.random(probs.shape) < 0.6)
    sketch = foreground_sketch(probs, labels, points).double()
    for threshold in (0.1, 0.5, 0.9):
        soft = soft_true_positive_rate(sketch - threshold, None, temperature)
        full = soft_true_positive_rate(probs - threshold, labels, temperature)
        assert float((soft - full).abs().max()) <= 1 / points + 1e-6


@settings(deadline=None)
@given(batches(), st.integers(0, 2**31))
def test_order_of_images_classes_and_pixels_plays_no_part(batch, seed):
    pair, moved, reorder = shuffled(*map(torch.from_numpy, batch), seed)
    soft, moved_soft = soft_true_positive_rate(*pair, 0.5), soft_true_positive_rate(*moved, 0.5)
    torch.testing.assert_close(moved_soft, reorder(soft), equal_nan=True, atol=1e-6, rtol=0)


@settings(deadline=None)
@given(batches(), st.sampled_from([0.05, 1.0]))
def test_gradient_is_that_of_the_formula(batch, temperature):
    scores, labels = torch.from_numpy(batch[0]).double(), torch.from_numpy(batch[1])
    ours, written_out = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    rate = soft_true_positive_rate(ours, labels, temperature)
    size = labels.flatten(2).sum(-1)
    expected = (torch.sigmoid(written_out / temperature) * labels).flatten(2).sum(-1) / size
    torch.testing.assert_close(rate, expected, equal_nan=True, atol=1e-12, rtol=0)
    weights = torch.arange(1.0, rate.numel() + 1, dtype=torch.float64).reshape(rate.shape)
    for value in (rate, expected):
        (value * weights)[size > 0].sum().backward()
    # Autograd leaves NaN where the formula is 0 / 0; there is no gradient then.
    torch.testing.assert_close(ours.grad, written_out.grad.nan_to_num(0.0), atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_maps_are_computed_in_float32_and_get_a_gradient_of_their_own_type(dtype):
    scores = torch.linspace(-0.2, 0.3, 64).reshape(1, 1, 8, 8).to(dtype).requires_grad_()
    rate = soft_true_positive_rate(scores, torch.ones(1, 1, 8, 8), 0.05)
    assert rate.dtype == torch.float32
    torch.testing.assert_close(rate, torch.sigmoid(scores.detach().float() / 0.05).mean((2, 3)))
    rate.sum().backward()
    assert scores.grad.dtype == dtype


def test_large_maps_are_taken_block_by_block(rng):
    # More pixels than one block, which the borders of images do not meet.
    scores = torch.from_numpy(rng.normal(0.0, 0.1, (3, 1, 400, 301))).requires_grad_()
    labels = torch.from_numpy(rng.random(scores.shape) < 0.2)
    rate = soft_true_positive_rate(scores, labels, 0.05)
    rate.sum().backward()
    soft = torch.sigmoid(scores.detach() / 0.05)
    size = labels.sum((2, 3))
    torch.testing.assert_close(rate.detach(), (soft * labels).sum((2, 3)) / size)
    torch.testing.assert_close(scores.grad, soft * (1 - soft) * labels / (0.05 * size[..., None, None]))
