# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The pinball loss: its derivative along the threshold is the miss minus alpha."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_coat.functional import foreground_sketch, true_positive_rate
from monai_coat.losses import SoftTPRLoss, ThresholdPinballLoss


@pytest.fixture
def batch(rng):
    """Maps, masks and thresholds of four images and two classes; image 2 has no foreground."""
    probs = torch.from_numpy(rng.random((4, 2, 7, 6)))
    labels = torch.from_numpy(rng.random(probs.shape) < 0.5)
    labels[2] = False
    return probs, labels, torch.from_numpy(rng.random((4, 2))).requires_grad_()


def test_gradient_is_the_false_negative_rate_minus_alpha(batch):
    probs, labels, thresholds = batch
    margins = probs - thresholds[..., None, None]
    ThresholdPinballLoss(0.2, reduction="sum")(margins, labels).backward()
    expected = (1 - true_positive_rate(margins.detach(), labels, 0.0) - 0.2).nan_to_num(0.0)
    torch.testing.assert_close(thresholds.grad, expected, atol=1e-12, rtol=0)


def test_it_is_the_integral_of_its_gradient(batch):
    probs, labels, _ = batch
    probs, labels = probs[:1, :1], labels[:1, :1]
    loss, grid = ThresholdPinballLoss(0.2), np.linspace(0, 1, 2001)
    miss = [1 - true_positive_rate(probs, labels, t).item() - 0.2 for t in (grid[1:] + grid[:-1]) / 2]
    rise = float(loss(probs - 1, labels) - loss(probs, labels))
    assert rise == pytest.approx(float(np.mean(miss)), abs=1e-3)


def test_value_by_hand():
    # Margins -0.25 and 0.75 of foreground, alpha 0.2: (0.25 - 0.05 + 0.15) / 2.
    margins, labels = torch.tensor([[[-0.25, 0.75, 9.0]]]), torch.tensor([[[1, 1, 0]]])
    assert float(ThresholdPinballLoss(0.2)(margins, labels)) == pytest.approx(0.175)


def test_a_sketch_gives_the_loss_of_its_map(batch):
    probs, labels, thresholds = batch
    thresholds = thresholds.detach()
    full = ThresholdPinballLoss(0.2)(probs - thresholds[..., None, None], labels)
    sketch = foreground_sketch(probs, labels, 4096).double()
    found = float(ThresholdPinballLoss(0.2)(sketch - thresholds[..., None], None))
    assert found == pytest.approx(float(full), abs=1 / 4096)  # one cell may lie astride the threshold


def test_no_foreground_is_no_loss_and_no_gradient():
    margins = torch.rand(2, 1, 4, requires_grad=True)
    loss = ThresholdPinballLoss(0.1)(margins, torch.zeros(2, 1, 4))
    loss.backward()
    assert loss.item() == 0
    assert not margins.grad.any()


@pytest.mark.parametrize("alpha", [0.0, 1.0, float("nan")])
def test_alpha_must_be_a_level(alpha):
    with pytest.raises(ValueError, match="alpha"):
        ThresholdPinballLoss(alpha)


def test_soft_loss_of_power_one_is_the_root_of_the_squared_one(batch):
    probs, labels, thresholds = batch
    margins = probs - thresholds[..., None, None].detach()
    squared, absolute = (SoftTPRLoss(0.2, reduction="none", power=power)(margins, labels) for power in (2, 1))
    torch.testing.assert_close(absolute, squared.sqrt())
    with pytest.raises(ValueError, match="power must be 1 or 2, got 3"):
        SoftTPRLoss(0.2, power=3)
