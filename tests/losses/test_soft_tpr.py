# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""COAT's loss against the plain formula on full maps."""

from __future__ import annotations

import math

import pytest
import torch

from monai_coat.functional import foreground_sketch, soft_true_positive_rate, target_coverage
from monai_coat.losses import SoftTPRLoss


def formula(scores, labels, alpha, temperature):
    """Every pixel goes through the sigmoid; the mask weighs it. Mean over images and classes with foreground."""
    weights = labels.to(scores.dtype).flatten(2)
    present = weights.sum(-1) > 0
    hits = (torch.sigmoid(scores.flatten(2) / temperature) * weights).sum(-1)
    return ((hits[present] / weights.sum(-1)[present] - (1 - alpha)) ** 2).mean()


def maps(rng, shape, share=0.4):
    return torch.from_numpy(rng.normal(0, 0.3, shape)), torch.from_numpy(rng.random(shape) < share)


@pytest.mark.parametrize("shape", [(3, 1, 40), (2, 3, 8, 7), (2, 1, 4, 5, 6)])
@pytest.mark.parametrize(("alpha", "temperature"), [(0.1, 0.05), (0.3, 0.5), (0.05, 0.005)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_and_gradient_are_those_of_the_plain_formula(rng, shape, alpha, temperature, dtype):
    scores, labels = maps(rng, shape)
    labels[0, 0] = False
    scores = scores.to(dtype).requires_grad_()
    value, expected = SoftTPRLoss(alpha, temperature)(scores, labels), formula(scores, labels, alpha, temperature)
    torch.testing.assert_close(value, expected, atol=1e-6, rtol=0)
    gradient, plain = (torch.autograd.grad(one, scores)[0] for one in (value, expected))
    torch.testing.assert_close(gradient, plain, atol=1e-6, rtol=1e-5)


def test_values_by_hand():
    # sigmoid(0) = 1/2, target 3/4: (1/2 - 3/4)^2 = 1/16. sigmoid(ln 3) = 3/4: on target. Mean of both: 1/32.
    scores = torch.tensor([[[0.0, 5.0]], [[0.1 * math.log(3), -5.0]]], dtype=torch.float64)
    labels = torch.tensor([[[1, 0]], [[1, 0]]])
    assert float(SoftTPRLoss(0.25, 0.1)(scores, labels)) == pytest.approx(1 / 32, abs=1e-15)
    assert SoftTPRLoss(0.25, 0.1, reduction="none")(scores, labels).flatten().tolist() == [
        pytest.approx(1 / 16, abs=1e-15),
        pytest.approx(0, abs=1e-15),
    ]


def test_class_is_the_function(rng):
    scores, labels = maps(rng, (3, 2, 30))
    found = SoftTPRLoss(alpha=0.9, temperature=0.2, reduction="none")(scores, labels)
    assert torch.equal(found, (soft_true_positive_rate(scores, labels, 0.2) - target_coverage(0.9)) ** 2)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_numerical_gradient(rng, reduction):
    scores, labels = maps(rng, (3, 2, 9))
    labels[1] = False
    loss = SoftTPRLoss(0.2, 0.3, reduction=reduction)
    assert torch.autograd.gradcheck(lambda s: loss(s, labels), scores.requires_grad_())


def test_numerical_gradient_of_sketches(rng):
    sketch = foreground_sketch(*maps(rng, (3, 1, 30)), points=16).double()
    sketch[1] = torch.nan
    thresholds = torch.zeros(3, 1, 1, dtype=torch.float64, requires_grad=True)
    loss = SoftTPRLoss(0.2, 0.3)
    assert torch.autograd.gradcheck(lambda t: loss(sketch - t, None), thresholds)


def test_sketches_stand_for_full_maps(rng):
    probs = torch.sigmoid(torch.from_numpy(rng.normal(1, 3, (6, 1, 60, 50))))
    labels = torch.from_numpy(rng.random(probs.shape) < 0.4)
    labels[2] = False
    found, loss = [], SoftTPRLoss()
    for points in (None, 512):
        thresholds = torch.linspace(0.1, 0.9, 6, dtype=torch.float64).reshape(6, 1, 1).requires_grad_()
        if points is None:
            value = loss(probs - thresholds[..., None], labels)
        else:
            value = loss(foreground_sketch(probs, labels, points) - thresholds, None)
        found.append((value.detach(), torch.autograd.grad(value, thresholds)[0]))
    (value, gradient), (short, estimate) = found
    assert abs(float(value - short)) < 1e-4
    torch.testing.assert_close(estimate, gradient, atol=1e-3, rtol=1e-2)
    assert not estimate[2].any()


def test_minimum_is_at_the_target_and_descent_reaches_it(rng):
    # A single threshold for one image: gradient descent must bring the soft coverage to 1 - alpha, from either side.
    probs, labels = torch.from_numpy(rng.random((1, 1, 400))), torch.ones(1, 1, 400)
    for start in (0.0, 0.6):
        threshold = torch.tensor(start, dtype=torch.float64, requires_grad=True)
        step = torch.optim.SGD([threshold], lr=0.2)
        for _ in range(200):
            step.zero_grad()
            SoftTPRLoss(0.2, 0.05)(probs - threshold, labels).backward()
            step.step()
        soft = soft_true_positive_rate(probs - threshold.detach(), labels, 0.05)
        assert soft.item() == pytest.approx(0.8, abs=1e-3)
