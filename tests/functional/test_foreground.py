# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Foreground scores: what is taken, in which type, and the gradient that comes back."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_coat.functional import foreground_scores, soft_true_positive_rate

SHAPES = [(2, 3, 7), (2, 1, 5, 4), (1, 2, 3, 4, 5)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("label_dtype", [torch.bool, torch.uint8, torch.int64, torch.float32, torch.bfloat16])
def test_scores_are_those_of_the_foreground_in_order(rng, shape, dtype, label_dtype):
    scores = torch.from_numpy(rng.normal(size=shape)).to(dtype)
    labels = torch.from_numpy(rng.random(shape) < 0.4)
    values, batch_and_channels = foreground_scores(scores, labels.to(label_dtype))
    assert batch_and_channels == shape[:2]
    assert len(values) == shape[0] * shape[1]
    for index, value in enumerate(values):
        image, channel = divmod(index, shape[1])
        expected = scores[image, channel].double().numpy()[labels[image, channel].numpy()]
        assert np.array_equal(value.double().numpy(), expected)
        assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_layout_in_memory_plays_no_part(rng):
    scores = torch.from_numpy(rng.normal(size=(3, 5, 4, 2))).permute(0, 3, 2, 1)
    labels = torch.from_numpy(rng.random((2, 3, 5, 4)) < 0.5).permute(1, 0, 3, 2)
    values, _ = foreground_scores(scores, labels)
    expected, _ = foreground_scores(scores.contiguous(), labels.contiguous())
    assert all(torch.equal(one, other) for one, other in zip(values, expected, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_gradient_reaches_the_pixels_that_were_taken(rng, dtype):
    scores = torch.from_numpy(rng.normal(size=(2, 2, 4, 3))).to(dtype).transpose(2, 3).requires_grad_()
    labels = torch.from_numpy(rng.random((2, 2, 3, 4)) < 0.5)
    labels[1, 0] = False
    values, _ = foreground_scores(scores, labels)
    sum(((index + 1) * value).sum() for index, value in enumerate(values)).backward()
    weights = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[..., None, None]
    assert scores.grad.dtype == dtype
    assert torch.equal(scores.grad.float(), labels * weights)


def test_double_precision_gradient_is_right(rng):
    labels = torch.tensor([[[1, 0, 1, 1], [0, 0, 0, 0]]])
    scores = torch.from_numpy(rng.normal(size=labels.shape)).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: torch.cat(foreground_scores(s, labels)[0]) ** 3, scores)


def test_metadata_is_left_behind_and_gradient_is_not(rng):
    plain = torch.from_numpy(rng.normal(size=(1, 1, 4)))
    scores = MetaTensor(plain.clone(), meta={"name": "a"}).requires_grad_()
    values, _ = foreground_scores(scores, MetaTensor(torch.tensor([[[1, 0, 1, 0]]])))
    assert type(values[0]) is torch.Tensor
    values[0].sum().backward()
    assert torch.equal(torch.as_tensor(scores.grad), torch.tensor([[[1.0, 0.0, 1.0, 0.0]]], dtype=torch.float64))


def test_inputs_stay_as_they_are(rng):
    scores, labels = torch.from_numpy(rng.normal(size=(1, 1, 6))), torch.tensor([[[1, 0, 1, 0, 1, 1]]])
    before = scores.clone(), labels.clone()
    values, _ = foreground_scores(scores, labels)
    values[0].zero_()
    assert torch.equal(scores, before[0])
    assert torch.equal(labels, before[1])


def test_works_in_inference_mode():
    with torch.inference_mode():
        values, _ = foreground_scores(torch.tensor([[[0.25, 0.5]]]), torch.tensor([[[0, 1]]]))
    assert values[0].tolist() == [0.5]


@pytest.mark.parametrize(
    "loss", [lambda s, y: torch.cat(foreground_scores(s, y)[0]).sum(), lambda s, y: soft_true_positive_rate(s, y, 0.1)]
)
def test_nothing_of_a_step_outlives_it(loss):
    # A function that keeps its own output on its context makes a circle, which reference counting never frees.
    def step():
        scores = torch.rand(1, 1, 20, 20, requires_grad=True)
        loss(scores, torch.ones_like(scores)).sum().backward()

    def alive():
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = alive()
        for _ in range(5):
            step()
        assert alive() == before
    finally:
        gc.enable()
