# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from monai_coat.scorers import PredictorBackbone, ThresholdPredictor

SIZES = {2: (40, 24), 3: (20, 24, 16)}
SIDES = {2: 32, 3: 16}
CHEAP = [str(b) for b in PredictorBackbone if b != PredictorBackbone.RESNET50]


def inputs(dims, batch=2, channels=3, classes=1):
    return torch.rand(batch, channels, *SIZES[dims]), torch.rand(batch, classes, *SIZES[dims])


@pytest.mark.parametrize(("dims", "backbone"), [(d, b) for d in (2, 3) for b in CHEAP] + [(2, "resnet50")])
def test_every_backbone_gives_one_threshold_per_image_and_class(dims, backbone):
    predictor = ThresholdPredictor(dims, 3, num_classes=2, backbone=backbone, input_size=SIDES[dims]).eval()
    image, probs = inputs(dims, classes=2)
    thresholds = predictor(image, probs)
    assert thresholds.shape == (2, 2)
    assert thresholds.dtype == torch.float32
    assert bool(((thresholds > 0) & (thresholds < 1)).all())
    # Each image has its own: alone it has the same.
    torch.testing.assert_close(predictor(image[1:], probs[1:]), thresholds[1:])
    assert not torch.equal(thresholds[0], thresholds[1])


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("summaries", [True, False])
def test_every_parameter_learns(dims, summaries):
    predictor = ThresholdPredictor(dims, 3, input_size=SIDES[dims], summaries=summaries)
    predictor(*inputs(dims)).sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in predictor.parameters())


def test_default_input_sizes():
    assert ThresholdPredictor(2, 1).input_size == [64, 64]
    assert ThresholdPredictor(3, 1).input_size == [32, 32, 32]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("backbone", ["small", "none"])
def test_cost_and_answer_do_not_depend_on_the_size_of_the_image(dims, backbone):
    predictor = ThresholdPredictor(dims, 1, backbone=backbone, input_size=SIDES[dims]).eval()
    seen = []
    (predictor.backbone if backbone != "none" else predictor.summaries).register_forward_hook(
        lambda module, args, output: seen.append(args[0].shape[2:])
    )
    answers = [
        predictor(torch.full((1, 1, *[side] * dims), 0.25), torch.full((1, 1, *[side] * dims), 0.75))
        for side in (SIDES[dims] // 2, SIDES[dims] * 3)
    ]
    torch.testing.assert_close(answers[0], answers[1])
    assert seen == [torch.Size(predictor.input_size)] * 2


def test_without_backbone_the_order_of_pixels_plays_no_part():
    predictor = ThresholdPredictor(2, 1, backbone="none", input_size=16)
    image, probs = torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16)
    shuffled = probs.flatten()[torch.randperm(256)].reshape(1, 1, 16, 16)
    torch.testing.assert_close(predictor(image, probs), predictor(image, shuffled))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_maps_have_finite_thresholds(value):
    predictor = ThresholdPredictor(2, 1, input_size=16)
    thresholds = predictor(torch.full((1, 1, 20, 20), value), torch.full((1, 1, 20, 20), value))
    thresholds.sum().backward()
    assert bool(thresholds.isfinite().all())
    assert all(bool(p.grad.isfinite().all()) for p in predictor.parameters())


def test_image_and_map_are_both_read():
    predictor = ThresholdPredictor(2, 3, input_size=16).eval()
    image, probs = inputs(2)
    before = predictor(image, probs)
    assert not torch.equal(predictor(image.flip(0), probs), before)
    assert not torch.equal(predictor(image, probs.flip(0)), before)


def test_a_threshold_has_no_metadata():
    predictor = ThresholdPredictor(2, 3, input_size=16)
    image, probs = (MetaTensor(x) for x in inputs(2))
    assert type(predictor(image, probs)) is torch.Tensor


@pytest.mark.parametrize("dims", [1, 4])
def test_other_dimensions_are_refused(dims):
    with pytest.raises(ValueError, match=rf"spatial_dims must be 2 or 3, got {dims}"):
        ThresholdPredictor(dims, 1)


def test_unknown_backbones_are_refused():
    with pytest.raises(ValueError, match=r"backbone must be one of small, none, resnet10, .*, got 'vgg'"):
        ThresholdPredictor(2, 1, backbone="vgg")


def test_something_must_be_read():
    with pytest.raises(ValueError, match=r"summaries must be True with backbone='none', got False"):
        ThresholdPredictor(2, 1, backbone="none", summaries=False)


@pytest.mark.parametrize("size", [0, 8, 15])
def test_inputs_too_small_for_the_backbones_are_refused(size):
    with pytest.raises(ValueError, match=rf"input_size must be at least 16, .*got {size}"):
        ThresholdPredictor(2, 1, input_size=size)


def test_the_smallest_input_works_for_one_image_in_training():
    for dims in (2, 3):
        image, probs = inputs(dims, batch=1)
        assert ThresholdPredictor(dims, 3, input_size=16).train()(image, probs).shape == (1, 1)


def test_wrong_channels_and_sizes_are_refused():
    predictor = ThresholdPredictor(2, 3, num_classes=2)
    with pytest.raises(ValueError, match=r"image and probs must have 3 and 2 channels, got 1 and 2"):
        predictor(torch.rand(1, 1, 8, 8), torch.rand(1, 2, 8, 8))
    with pytest.raises(ValueError, match=r"image and probs must have 3 and 2 channels, got 3 and 1"):
        predictor(torch.rand(1, 3, 8, 8), torch.rand(1, 1, 8, 8))
    with pytest.raises(ValueError, match=r"same spatial size, got .*8, 8.* and .*8, 9"):
        predictor(torch.rand(1, 3, 8, 8), torch.rand(1, 2, 8, 9))
