# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Outputs of other libraries' networks, by likes of them: what they return, and its size."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import pytest
import torch
from monai.inferers import SlidingWindowInferer
from torch import nn

from monai_coat.calibration import identity_of
from monai_coat.inferers import AdaptiveInferer
from monai_coat.networks import AdaptiveSegmenter, LogitsOf
from monai_coat.scorers import ExpectedCoverageScorer


@dataclass
class ModelOutput:
    logits: torch.Tensor
    loss: None = None


class Like(nn.Module):
    """A network whose output is wrapped."""

    def __init__(self, wrap=lambda logits: logits, step=1):
        super().__init__()
        self.conv, self.wrap, self.step = nn.Conv2d(3, 1, 1), wrap, step

    def forward(self, image):
        return self.wrap(self.conv(image)[..., :: self.step, :: self.step])


KINDS = {
    "a dictionary": (lambda logits: OrderedDict(out=logits, aux=logits * 0), "out"),
    "a tuple": (lambda logits: (logits, torch.zeros(2, 5)), 0),
    "a list": (lambda logits: [logits * 0, logits], -1),
    "an object": (ModelOutput, "logits"),
    "a tensor": (lambda logits: logits, None),
}
IMAGE = torch.rand(2, 3, 16, 12)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_taken_as_they_are(kind):
    wrap, place = KINDS[kind]
    network = Like(wrap)
    with torch.no_grad():
        assert torch.equal(LogitsOf(network, place)(IMAGE), network.conv(IMAGE))


def test_small_logits_are_brought_to_the_image_between_the_centres_of_pixels():
    class Ramp(nn.Module):
        def forward(self, image):
            return ModelOutput(torch.arange(4.0).expand(len(image), 1, 4, 4))

    found = LogitsOf(Ramp(), "logits")(IMAGE[..., :16, :8])
    # Four pixels onto eight: a centre of the first lies at (2 x + 1) / 2 - 1/2 of the second; ends are repeated.
    assert found.shape == (2, 1, 16, 8)
    assert found[0, 0, 0].tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_in_any_number_of_axes(axes):
    image = torch.rand(1, 1, *[8] * axes)
    half = nn.Identity()
    half.forward = lambda image: image[(..., *[slice(None, None, 2)] * axes)]
    assert LogitsOf(half)(image).shape == image.shape


@pytest.mark.parametrize("inferer", [AdaptiveInferer(), AdaptiveInferer(SlidingWindowInferer((8, 8)))])
def test_the_whole_network_works_with_it(inferer):
    network = AdaptiveSegmenter(LogitsOf(Like(ModelOutput, 4), "logits"), ExpectedCoverageScorer()).eval()
    with torch.no_grad():
        assert inferer(IMAGE, network).shape == (2, 1, 16, 12)
    network.set_calibration((0.5,), 0.1, (99,))
    assert network.prediction_set(IMAGE).shape == (2, 1, 16, 12)


def test_another_place_is_another_network():
    network = Like()
    mine, other = (identity_of(AdaptiveSegmenter(LogitsOf(network, place))) for place in ("out", "aux"))
    assert mine.differences(other) == ['segmenter.place ("out" against "aux")']


@pytest.mark.parametrize(
    ("output", "place", "message"),
    [
        (OrderedDict(masks=torch.ones(1)), "out", "'out', got NoneType there in its output, a OrderedDict of 'masks'"),
        ((torch.ones(1),), 1, "1, got NoneType there in its output, a tuple of 1; name another place"),
        (ModelOutput(torch.ones(1)), "loss", "'loss', got NoneType there in its output, a ModelOutput"),
        (OrderedDict(out=None), None, "None, got OrderedDict there"),
        (torch.ones(2, 7), None, r"the axes of its image, 4, got 2 in None; name another place"),
    ],
)
def test_a_place_without_logits_is_refused(output, place, message):
    with pytest.raises(TypeError, match=message):
        LogitsOf(Like(lambda logits: output), place)(IMAGE)


@pytest.mark.parametrize(
    "call", [lambda n: n(IMAGE), lambda n: n.probabilities(IMAGE), lambda n: AdaptiveInferer()(IMAGE, n)]
)
def test_without_it_logits_of_another_size_are_refused(call):
    with pytest.raises(ValueError, match=r"of the image's size, \(16, 12\), got \(4, 3\); let .*LogitsOf\(segmenter\)"):
        call(AdaptiveSegmenter(Like(step=4)).eval())


@pytest.mark.parametrize("step", [1, 4])
def test_labels_in_place_of_logits_are_refused(step):
    network = Like(lambda logits: (logits > 0).long(), step)
    message = r"must give logits of floating point, got torch\.int64, which is of labels; take its output before argmax"
    for segmenter in (LogitsOf(network), AdaptiveSegmenter(network).eval()):
        with pytest.raises(TypeError, match=message):
            segmenter(IMAGE)
