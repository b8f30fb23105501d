# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""AT's loss: the squared distance of the predicted threshold from the ideal one."""

from __future__ import annotations

import pytest
import torch

from monai_coat.functional import foreground_sketch, ideal_threshold
from monai_coat.losses import ThresholdRegressionLoss


@pytest.fixture
def batch(rng):
    """Maps, masks and predicted thresholds of five images and two classes; image 3 has no foreground."""
    probs = torch.from_numpy(rng.random((5, 2, 7, 6)))
    labels = torch.from_numpy(rng.random(probs.shape) < 0.5)
    labels[3] = False
    return probs, labels, torch.from_numpy(rng.random((5, 2)))


@pytest.mark.parametrize("alpha", [0.1, 0.3, 0.5])
def test_value_and_gradient_are_those_of_the_squared_distance(batch, alpha):
    probs, labels, thresholds = batch
    ideal = ideal_threshold(probs, labels, alpha)
    present = ~torch.isnan(ideal)
    assert present.sum() == 8
    thresholds.requires_grad_()
    value = ThresholdRegressionLoss(alpha)(probs - thresholds[..., None, None], labels)
    expected = ((ideal[present] - thresholds[present]) ** 2).mean()
    torch.testing.assert_close(value, expected, atol=1e-14, rtol=0)
    gradient, plain = (torch.autograd.grad(one, thresholds)[0] for one in (value, expected))
    torch.testing.assert_close(gradient, plain, atol=1e-14, rtol=0)
    assert not gradient[3].any()


def test_value_by_hand():
    # Foreground 0.25, 0.5, 0.75 and alpha = 0.4: 1.2 allows one miss, the ideal threshold is 0.5. Predicted are 0.375
    # and 1: squares of 1/8 and 1/2.
    probs = torch.tensor([[[0.25, 0.5, 0.75, 0.125]]] * 2)
    margins = probs - torch.tensor([0.375, 1.0]).reshape(2, 1, 1)
    labels = torch.tensor([[[1, 1, 1, 0]]] * 2)
    each = ThresholdRegressionLoss(0.4, reduction="none")(margins, labels)
    assert each.tolist() == [[1 / 64], [1 / 4]]
    assert ThresholdRegressionLoss(0.4)(margins, labels).item() == 17 / 128


def test_class_is_the_function(batch):
    margins, labels = batch[0][:3] - 0.5, batch[1][:3]
    found = ThresholdRegressionLoss(0.3, reduction="none")(margins, labels)
    assert torch.equal(found, ideal_threshold(margins, labels, 0.3) ** 2)


def test_numerical_gradient(batch):
    # Scores are distinct, so that a small step changes no rank.
    margins, labels = (batch[0] - 0.5).requires_grad_(), batch[1]
    loss = ThresholdRegressionLoss(0.3)
    assert torch.autograd.gradcheck(lambda s: loss(s, labels), margins, eps=1e-7, atol=1e-5)


def test_ties_have_a_gradient():
    margins = torch.full((1, 1, 5), 0.25, requires_grad=True)
    ThresholdRegressionLoss(0.5)(margins, torch.ones(1, 1, 5)).backward()
    assert margins.grad.sum() == 0.5  # 2 * 0.25, all of it in one pixel
    assert (margins.grad != 0).sum() == 1


def test_sketches_stand_for_full_maps(rng):
    # Rank floor(0.1 * 3000) + 1 of the pixels and floor(0.1 * 512) + 1 of the cells are within a cell of each other.
    probs = torch.from_numpy(rng.random((4, 1, 3000)))
    labels = torch.ones_like(probs, dtype=torch.bool)
    labels[1] = False
    thresholds = torch.tensor([0.3, 0.5, 0.05, 0.9], dtype=torch.float64).reshape(4, 1, 1).requires_grad_()
    loss = ThresholdRegressionLoss(0.1)
    value, short = loss(probs - thresholds, labels), loss(foreground_sketch(probs, labels) - thresholds, None)
    assert abs(float((value - short).detach())) < 2 * 2 / 512
    full, estimate = (torch.autograd.grad(one, thresholds)[0] for one in (value, short))
    torch.testing.assert_close(estimate, full, atol=2 / 512, rtol=0)
    assert not estimate[1].any()
