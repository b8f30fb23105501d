# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The order by place: distances that SciPy finds too, and sets that only grow."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_cdt

from monai_coat.functional import depth_inside, logit_scores, place_order, placed_logits

SHAPES = pytest.mark.parametrize("shape", [(7,), (6, 9), (5, 4, 6)], ids=str)


@SHAPES
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_depth_is_the_city_block_distance(shape, share):
    mask = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(1)) < share
    mask[..., 0] = False
    expected = [distance_transform_cdt(one.numpy(), "taxicab") for one in mask.flatten(0, 1)]
    assert torch.equal(depth_inside(mask).flatten(0, 1), torch.stack([torch.as_tensor(e).float() for e in expected]))


def test_a_map_without_an_outside_has_no_depth():
    assert depth_inside(torch.ones(1, 1, 4, 5, dtype=torch.bool)).abs().max() == 0
    assert place_order(torch.zeros(1, 1, 4, 5)).abs().max() == 0


def test_only_saturated_pixels_are_ordered():
    probs = torch.tensor([[[0.0, 0.0, 1 / 255, 0.5, 254 / 255, 1.0, 1.0, 1.0, 0.5]]])
    assert (place_order(probs) * 9).round().flatten().tolist() == [-2, -1, 0, 0, 0, 1, 2, 1, 0]


@given(values=st.lists(st.sampled_from([0.0, 1 / 255, 0.3, 0.5, 254 / 255, 1.0]), min_size=2, max_size=20))
def test_scores_keep_the_order_of_probabilities_and_equal_log_odds_between(values):
    probs = torch.tensor([[values]])
    placed, logits = placed_logits(probs)[0, 0], logit_scores(probs)[0, 0]
    rising = probs[0, 0].sort().indices
    assert (placed[rising][probs[0, 0][rising].diff(prepend=torch.tensor([-1.0])) > 0].diff() > 0).all()
    between = (probs[0, 0] > 0) & (probs[0, 0] < 1)
    assert torch.equal(placed[between], logits[between])


def test_a_map_of_eight_bits_and_its_floats_are_placed_alike():
    generator = torch.Generator().manual_seed(3)
    floats = torch.rand(1, 1, 32, 32, generator=generator) * 0.9 + 0.05
    floats[..., :10] = 0
    bytes_ = (floats * 255).round() / 255
    assert (placed_logits(floats) - placed_logits(bytes_)).abs().max() < 0.06


@pytest.mark.parametrize("shape", [(57,), (23, 31), (9, 14, 11)])
def test_blocks_share_a_depth_that_is_near_the_exact_one(shape):
    generator = torch.Generator().manual_seed(len(shape))
    mask = torch.ones(1, 2, *shape, dtype=torch.bool)
    for channel in mask[0]:
        channel.view(-1)[torch.randint(0, channel.numel(), (2,), generator=generator)] = False
    exact, coarse = depth_inside(mask), depth_inside(mask, block=3)
    assert coarse.shape == exact.shape
    assert (coarse[~mask] == 0).all()
    assert (coarse - exact).abs().max() <= 3 * len(shape)  # a cube's edge along each axis
    assert torch.equal(depth_inside(mask, block=1), exact)


def test_large_maps_are_counted_in_cubes():
    probs = torch.zeros(1, 1, 1030, 1030)
    probs[..., 500, 500] = 0.5
    order = place_order(probs)
    assert order[..., 500, 500] == 0
    assert order[..., 0, 0] == pytest.approx(-1000 / 1030, abs=8 / 1030)
    assert torch.equal(order[..., :4, :4], order[..., :1, :1].expand(1, 1, 4, 4))
