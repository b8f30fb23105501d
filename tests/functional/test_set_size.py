# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sizes of prediction sets, counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_coat.functional import precision, relative_set_size, set_fraction

# Image 0: five pixels, foreground is the first two; at 0.5 (a tie) four are inside, two of them foreground.
# Image 1: no foreground; one pixel inside. Image 2: foreground everywhere, none inside.
SCORES = torch.tensor([[[0.5, 0.9, 0.5, 0.7, 0.1]], [[0.5, 0.1, 0.1, 0.1, 0.1]], [[0.1, 0.2, 0.3, 0.4, 0.49]]])
LABELS = torch.tensor([[[1, 1, 0, 0, 0]], [[0] * 5], [[1] * 5]])


def test_sizes_by_hand():
    assert set_fraction(SCORES, 0.5).tolist() == [[4 / 5], [1 / 5], [0.0]]
    assert relative_set_size(SCORES, LABELS, 0.5)[[0, 2]].tolist() == [[4 / 2], [0.0]]
    assert math.isnan(relative_set_size(SCORES, LABELS, 0.5)[1])
    assert precision(SCORES, LABELS, 0.5).tolist() == [[2 / 4], [0.0], [1.0]]  # nothing in an empty set is wrong


def test_one_cutoff_per_class():
    scores, labels = SCORES.transpose(0, 1), LABELS.transpose(0, 1)  # one image, three classes
    cutoff = torch.tensor([0.9, 0.1, 0.3])
    assert set_fraction(scores, cutoff).tolist() == [[1 / 5, 1.0, 3 / 5]]
    assert relative_set_size(scores, labels, cutoff)[0, [0, 2]].tolist() == [1 / 2, 3 / 5]
    assert precision(scores, labels, cutoff).tolist() == [[1.0, 0.0, 1.0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("label_dtype", [torch.bool, torch.uint8, torch.float32])
def test_precisions_shapes_and_metadata(rng, dtype, label_dtype):
    scores = torch.from_numpy(rng.random((2, 2, 3, 4, 5))).to(dtype)
    labels = torch.from_numpy(rng.random(scores.shape) < 0.5)
    inside, mask = scores.double().numpy() >= 0.5, labels.numpy()
    axes = (2, 3, 4)
    wrapped = MetaTensor(scores.requires_grad_()), MetaTensor(labels.to(label_dtype))
    found = [set_fraction(wrapped[0], 0.5), relative_set_size(*wrapped, 0.5), precision(*wrapped, 0.5)]
    both = (inside & mask).sum(axes)
    expected = [inside.mean(axes), inside.sum(axes) / mask.sum(axes), both / inside.sum(axes)]
    for one, other in zip(found, expected, strict=True):
        assert type(one) is torch.Tensor
        assert not one.requires_grad
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-12)


def test_predicting_everything_is_one_over_the_foreground():
    assert relative_set_size(SCORES, LABELS, -1.0)[[0, 2]].tolist() == [[5 / 2], [1.0]]
    assert precision(SCORES, LABELS, -1.0).tolist() == [[2 / 5], [0.0], [1.0]]
