# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The base of scorers: what is asked of one that comes from elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_coat.networks import AdaptiveSegmenter
from monai_coat.scorers import Scorer


class Root(Scorer):
    """Somebody else's scorer in five lines."""

    def forward(self, image, probs):
        return probs.sqrt()


def test_a_scorer_says_its_scores_and_nothing_else():
    network = AdaptiveSegmenter(nn.Conv2d(1, 1, 1), Root())
    network.set_calibration((0.5,), alpha=0.1, n=(99,))
    image = torch.rand(2, 1, 6, 6)
    assert torch.equal(network.prediction_set(image), network.probabilities(image).sqrt() >= 0.5)
    assert network.thresholds_or_none(image, network.probabilities(image)) is None
    with pytest.raises(TypeError, match="scorer must cut the probability map, got Root"):
        network.thresholds(image)
    scripted = torch.jit.script(network)
    torch.testing.assert_close(scripted(image), network(image))


def test_a_scorer_without_scores_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        type("Nothing", (Scorer,), {})()
