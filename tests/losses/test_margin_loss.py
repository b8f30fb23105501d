# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What all losses on margin maps do: images without foreground, reductions, channels, the host's habits."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from monai.data import MetaTensor
from monai.utils import LossReduction

from monai_coat.functional import foreground_sketch
from monai_coat.losses import SoftTPRLoss, ThresholdRegressionLoss

KINDS = [SoftTPRLoss, ThresholdRegressionLoss]
kinds = pytest.mark.parametrize("kind", KINDS)
reductions = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


@pytest.fixture
def batch(rng):
    """Margins and masks of four images and two classes; image 1 has no foreground, image 2 none of class 0."""
    scores = torch.from_numpy(rng.normal(0, 0.3, (4, 2, 6, 5)))
    labels = torch.from_numpy(rng.random(scores.shape) < 0.4)
    labels[1] = labels[2, 0] = False
    return scores, labels


def value_and_gradient(loss, scores, labels):
    scores = scores.detach().clone().requires_grad_()
    value = loss(scores, labels)
    value.sum().backward()
    return value.detach(), scores.grad


@kinds
def test_images_without_foreground_have_no_weight_and_no_gradient(kind, batch):
    scores, labels = batch
    for reduction in ("mean", "sum"):
        value, gradient = value_and_gradient(kind(reduction=reduction), scores, labels)
        without, part = value_and_gradient(kind(reduction=reduction), scores[[0, 2, 3]], labels[[0, 2, 3]])
        torch.testing.assert_close(value, without, atol=1e-15, rtol=0)
        torch.testing.assert_close(gradient[[0, 2, 3]], part, atol=1e-15, rtol=0)
        assert not gradient[1].any()
        assert not gradient[2, 0].any()
        assert not gradient[~labels].any()
        assert gradient[labels].any()


@kinds
def test_reductions(kind, batch):
    scores, labels = batch
    each = kind(reduction="none")(scores, labels)
    present = torch.tensor([[1, 1], [0, 0], [0, 1], [1, 1]], dtype=torch.bool)
    assert each.shape == (4, 2)
    assert torch.equal(each != 0, present)
    torch.testing.assert_close(kind(reduction="sum")(scores, labels), each.sum())
    torch.testing.assert_close(kind(reduction="mean")(scores, labels), each.sum() / 5)
    assert torch.equal(kind()(scores, labels), kind(reduction=LossReduction.MEAN)(scores, labels))
    for image, channel in present.nonzero().tolist():
        one = kind()(scores[image, channel][None, None], labels[image, channel][None, None])
        torch.testing.assert_close(each[image, channel], one)


@kinds
@reductions
@pytest.mark.parametrize("size", [0.5, 3e38])  # the sum of the scores may overflow; it is none of the loss's business
def test_a_batch_without_any_foreground_is_zero_with_zero_gradient(kind, reduction, size):
    scores = torch.full((3, 2, 4, 4), size)
    value, gradient = value_and_gradient(kind(reduction=reduction), scores, torch.zeros_like(scores))
    assert not value.any()
    assert not gradient.any()
    assert value.shape == ((3, 2) if reduction == "none" else ())


def sketched(batch, points=512):
    """Margins of sketches as the trainer makes them: a threshold per image and class, subtracted."""
    scores, labels = batch
    thresholds = torch.full(scores.shape[:2], 0.05, dtype=torch.float64, requires_grad=True)
    return foreground_sketch(scores, labels, points) - thresholds[..., None], thresholds


@kinds
@reductions
def test_sketches_of_images_without_foreground_do_not_make_gradients_nan(kind, reduction, batch):
    margins, thresholds = sketched(batch)
    assert torch.isnan(margins[1]).all()
    kind(reduction=reduction)(margins, None).sum().backward()
    present = batch[1].flatten(2).any(-1)
    assert not thresholds.grad[~present].any()
    assert bool((thresholds.grad[present].abs() > 0).all())
    assert torch.isfinite(thresholds.grad).all()


@kinds
@reductions
def test_sketches_without_any_foreground_are_zero_with_zero_gradient(kind, reduction, batch):
    margins, thresholds = sketched((batch[0], torch.zeros_like(batch[1])))
    value = kind(reduction=reduction)(margins, None)
    assert not value.any()
    value.sum().backward()
    assert torch.equal(thresholds.grad, torch.zeros_like(thresholds))


@kinds
def test_background_channel_can_be_left_out(kind, batch):
    scores, labels = batch
    value, gradient = value_and_gradient(kind(include_background=False), scores, labels)
    expected, part = value_and_gradient(kind(), scores[:, 1:], labels[:, 1:])
    assert torch.equal(value, expected)
    assert not gradient[:, 0].any()
    assert torch.equal(gradient[:, 1:], part)
    margins, _ = sketched(batch)
    assert torch.equal(kind(include_background=False)(margins, None), kind()(margins[:, 1:], None))
    with pytest.raises(ValueError, match="include_background=False needs at least two channels, got one"):
        kind(include_background=False)(scores[:, :1], labels[:, :1])


@kinds
@pytest.mark.parametrize("reduction", ["median", "", None])
def test_unknown_reductions_are_refused(kind, reduction):
    with pytest.raises(ValueError, match="is not a valid LossReduction"):
        kind(reduction=reduction)


@kinds
def test_order_of_images_and_pixels_plays_no_part(kind, batch, rng):
    scores, labels = (part.flatten(2) for part in batch)
    images, pixels = rng.permutation(4), rng.permutation(30)
    moved = kind()(scores[images][..., pixels], labels[images][..., pixels])
    torch.testing.assert_close(moved, kind()(scores, labels), atol=1e-14, rtol=0)


@kinds
@pytest.mark.parametrize("label_dtype", [torch.bool, torch.uint8, torch.float32])
def test_metadata_is_left_behind(kind, batch, label_dtype):
    scores, labels = batch
    wrapped = MetaTensor(scores, meta={"name": "a"}).requires_grad_()
    value = kind()(wrapped, MetaTensor(labels.to(label_dtype)))
    assert type(value) is torch.Tensor
    expected, gradient = value_and_gradient(kind(), scores, labels)
    assert torch.equal(value, expected)
    value.backward()
    assert torch.equal(torch.as_tensor(wrapped.grad), gradient)
    assert type(kind()(wrapped, MetaTensor(torch.zeros_like(labels)))) is torch.Tensor


@kinds
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_scores_give_a_float32_loss(kind, batch, dtype):
    scores, labels = batch[0].to(dtype), batch[1]
    value, gradient = value_and_gradient(kind(), scores, labels)
    expected, exact = value_and_gradient(kind(), scores.float(), labels)
    assert (value.dtype, gradient.dtype) == (torch.float32, dtype)
    assert torch.equal(value, expected)
    assert torch.equal(gradient, exact.to(dtype))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(kind()(scores, labels), expected)


@kinds
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))])
def test_copies_are_equal(kind, copied, batch):
    loss = kind(alpha=0.3, include_background=False, reduction="sum")
    assert torch.equal(copied(loss)(*batch), loss(*batch))


@kinds
def test_volumes(kind, rng):
    scores = torch.from_numpy(rng.normal(size=(2, 1, 3, 4, 5)))
    labels = torch.from_numpy(rng.random(scores.shape) < 0.5)
    assert torch.equal(kind()(scores, labels), kind()(scores.flatten(2), labels.flatten(2)))
    assert math.isfinite(kind()(scores, labels))
