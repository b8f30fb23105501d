# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A network in foreign hands: windows, other outputs, other precisions, compilation."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator
from monai.inferers import (
    PatchInferer,
    SliceInferer,
    SlidingWindowInferer,
    SlidingWindowSplitter,
    sliding_window_inference,
)
from torch import nn

from monai_coat.inferers import AdaptiveInferer
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.scorers import (
    BoundaryDistanceScorer,
    ExpectedCoverageScorer,
    MarginScorer,
    PredictAllScorer,
    ProbabilityScorer,
    ThresholdPredictor,
)


class OwnScorer(nn.Module):
    def forward(self, image, probs):
        return probs - probs.mean()


ADAPTIVE = {
    "margin": lambda: MarginScorer(ThresholdPredictor(spatial_dims=2, in_channels=1)),
    "expected coverage": ExpectedCoverageScorer,
    "boundary distance": BoundaryDistanceScorer,
    "a module of one's own": OwnScorer,
}
WINDOWS = {
    "SlidingWindowInferer": SlidingWindowInferer((16, 16), 4),
    "sliding_window_inference": lambda image, network: sliding_window_inference(image, (16, 16), 4, network),
    "PatchInferer": PatchInferer(SlidingWindowSplitter((16, 16))),
    "an evaluator": lambda image, network: SupervisedEvaluator(
        torch.device("cpu"), [{"image": image, "label": image}], network, inferer=SlidingWindowInferer((16, 16))
    ).run(),
}


def network_with(scorer=None):
    return AdaptiveSegmenter(nn.Conv2d(1, 1, 3, padding=1), scorer).eval()


@pytest.mark.parametrize("scorer", ADAPTIVE)
@pytest.mark.parametrize("window", WINDOWS)
def test_a_scorer_that_adapts_is_refused_in_windows(scorer, window):
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"got a window of one; use .*AdaptiveInferer\(inferer\)"):
        WINDOWS[window](torch.rand(1, 1, 32, 32), network_with(ADAPTIVE[scorer]()))


@pytest.mark.parametrize("scorer", [None, ProbabilityScorer, PredictAllScorer])
@pytest.mark.parametrize("window", WINDOWS)
def test_one_threshold_for_all_goes_by_windows_too(scorer, window):
    with torch.no_grad():
        WINDOWS[window](torch.rand(1, 1, 32, 32), network_with(scorer and scorer()))


@pytest.mark.parametrize("scorer", ADAPTIVE)
def test_the_adaptive_inferer_shows_it_the_whole_image(scorer):
    image, network = torch.rand(1, 1, 32, 32), network_with(ADAPTIVE[scorer]())
    with torch.no_grad():
        assert AdaptiveInferer(SlidingWindowInferer((16, 16), 4))(image, network).shape == image.shape
        assert network(image).shape == image.shape


def test_slices_are_windows():
    network = AdaptiveSegmenter(nn.Conv2d(1, 1, 1), ADAPTIVE["margin"]()).eval()
    with pytest.raises(RuntimeError, match="got a window"):
        SliceInferer(roi_size=(8, 8), spatial_dim=2)(torch.rand(1, 1, 8, 8, 4), network)


@pytest.mark.parametrize(
    ("wrap", "adapter"),
    [
        (lambda logits: OrderedDict(out=logits), "'out'"),
        (lambda logits: (logits, None), "0"),
        (lambda logits: [logits, logits], "0"),
        (lambda logits: SimpleNamespace(logits=logits), "'logits'"),
        (lambda logits: None, "'logits'"),
    ],
)
def test_outputs_that_are_no_tensors_are_refused_with_an_adapter(wrap, adapter):
    class Other(nn.Module):
        def forward(self, image):
            return wrap(image)

    with pytest.raises(
        TypeError, match=rf"segmenter must return a tensor of logits .*LogitsOf\(segmenter, {adapter}\), "
    ):
        AdaptiveSegmenter(Other())(torch.rand(1, 1, 4, 4))


@pytest.mark.parametrize("change", ["half", "double", "bfloat16", "float"])
@pytest.mark.parametrize("scorer", ["margin", None])
def test_a_calibrated_network_keeps_its_precision(change, scorer):
    image, network = torch.rand(1, 1, 8, 8), network_with(scorer and ADAPTIVE[scorer]())
    network.set_calibration((0.123456789,), 0.1, (99,))
    with torch.no_grad():
        before = network.prediction_set(image)
        changed = getattr(network, change)()
        assert torch.equal(changed.prediction_set(image), before)
    assert changed.calibrated_cutoff.dtype == torch.float32
    assert changed.require_calibration().item() == pytest.approx(0.123456789, abs=1e-8)


@pytest.mark.parametrize("scorer", ["margin", None])
def test_a_compiled_network_takes_tensors_with_metadata(scorer):
    torch._dynamo.reset()
    image, network = MetaTensor(torch.rand(1, 1, 8, 8)), network_with(scorer and ADAPTIVE[scorer]())
    with torch.no_grad():
        found = torch.compile(network, backend="eager")(image)
        assert torch.allclose(torch.as_tensor(found), network(image).as_tensor(), atol=1e-6)


@pytest.mark.parametrize(
    "image", [np.zeros((1, 3, 8, 8), np.float32), None, "a.png", [1.0]], ids=lambda i: type(i).__name__
)
def test_an_image_that_is_no_tensor_is_refused(image):
    network = AdaptiveSegmenter(torch.nn.Conv2d(3, 1, 1))
    with pytest.raises(TypeError, match=rf"image must be a torch.Tensor .*, got {type(image).__name__}; convert it"):
        network(image)


def test_an_image_without_the_axis_of_the_batch_is_told_so():
    with pytest.raises(ValueError, match=r"got 8; set num_classes .*the axis of the batch, image\[None\]"):
        AdaptiveSegmenter(torch.nn.Conv2d(3, 1, 1))(torch.rand(3, 8, 8))
