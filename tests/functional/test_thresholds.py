# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Ideal thresholds: attained, largest, exact under ties."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.data import MetaTensor

from monai_coat.functional import ideal_threshold, true_positive_rate

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
grids = st.integers(0, 6).map(lambda k: k / 4)
foregrounds = st.one_of(*(arrays(np.float32, st.integers(1, 40), elements=e) for e in (floats, grids)))
levels = st.integers(1, 99).map(lambda k: k / 100)


def covers(values, threshold, alpha):
    """TPR >= 1 - alpha, in rational numbers."""
    level = Fraction(str(alpha))
    return Fraction(int((values >= threshold).sum()), values.size) >= 1 - level


@settings(deadline=None)
@given(foregrounds, levels)
def test_target_is_attained_and_not_by_the_next_larger_score(values, alpha):
    scores = torch.from_numpy(values)[None, None]
    threshold = ideal_threshold(scores, torch.ones_like(scores), alpha).numpy()[0, 0]
    assert threshold in values
    assert covers(values, threshold, alpha)
    larger = values[values > threshold]
    assert not larger.size or not covers(values, larger.min(), alpha)


@pytest.mark.parametrize(
    ("alpha", "expected"),
    # Scores 1..10. 0.3 of 10 pixels allows three misses, so the threshold is the fourth score; the doubles 0.3 and
    # 1 - 0.7 lie below 3/10 and would allow two. 0.05 allows none: the first. 0.99 allows nine: the last.
    [(0.3, 4), (0.1, 2), (0.7, 8), (0.05, 1), (0.99, 10), (0.29, 3), (0.31, 4)],
)
def test_alpha_is_a_decimal(alpha, expected):
    scores = torch.arange(1.0, 11.0).flip(0).reshape(1, 1, 10)
    threshold = ideal_threshold(scores, torch.ones(1, 1, 10), alpha)
    assert threshold.item() == expected
    assert true_positive_rate(scores, torch.ones(1, 1, 10), threshold).item() >= float(1 - Fraction(str(alpha)))


def test_several_images_and_classes_and_none():
    # alpha = 0.5. Image 0: class 0 has 1, 2: one miss, 2; class 1 is absent. Image 1: class 0 has 3: no miss, 3; 1
    # has 5, 5, 7: one miss, the second, 5.
    scores = torch.tensor([[[1.0, 2, 9], [4, 5, 6]], [[3, 0, 0], [7, 5, 5]]])
    labels = torch.tensor([[[1, 1, 0], [0, 0, 0]], [[1, 0, 0], [1, 1, 1]]])
    found = ideal_threshold(scores, labels, 0.5)
    assert math.isnan(found[0, 1])
    assert found[[0, 1, 1], [0, 0, 1]].tolist() == [2, 3, 5]


@settings(deadline=None)
@given(foregrounds, levels, st.integers(0, 2**31))
def test_order_of_pixels_and_background_play_no_part(values, alpha, seed):
    generator = np.random.default_rng(seed)
    mixed = np.r_[values, generator.normal(size=20).astype(np.float32)]
    labels = np.r_[np.ones(values.size), np.zeros(20)]
    order = generator.permutation(mixed.size)
    plain = ideal_threshold(torch.from_numpy(values)[None, None], torch.ones(1, 1, values.size), alpha)
    shuffled = ideal_threshold(*(torch.from_numpy(a[order])[None, None] for a in (mixed, labels)), alpha)
    assert torch.equal(plain, shuffled)


def test_gradient_is_one_at_one_pixel_even_under_ties():
    scores = torch.full((1, 1, 2, 3), 0.5, requires_grad=True)
    ideal_threshold(scores, torch.tensor([[[[1, 1, 1], [1, 0, 0]]]]), 0.5).sum().backward()
    assert scores.grad.sum() == 1
    assert sorted(scores.grad.flatten().tolist()) == [0, 0, 0, 0, 0, 1]
    assert not scores.grad[0, 0, 1, 1:].any()


def test_image_without_foreground_has_no_gradient():
    scores = torch.rand(2, 1, 5, requires_grad=True)
    labels = torch.tensor([[[0, 0, 0, 0, 0]], [[1, 1, 1, 0, 0]]])
    ideal_threshold(scores, labels, 0.1).nan_to_num(0).sum().backward()
    assert not scores.grad[0].any()
    assert scores.grad[1].sum() == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_precisions_and_metadata(dtype):
    scores = MetaTensor(torch.tensor([[[0.25, 0.5, 0.75]]], dtype=dtype))
    found = ideal_threshold(scores, MetaTensor(torch.ones(1, 1, 3)), 0.4)  # 0.4 * 3 = 1.2: one miss
    assert type(found) is torch.Tensor
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert found.item() == 0.5


def test_volumes():
    scores = torch.arange(24.0).reshape(1, 1, 2, 3, 4)
    assert ideal_threshold(scores, scores >= 4, 0.25).item() == 9  # 20 pixels 4..23, five misses 4..8
