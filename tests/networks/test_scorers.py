# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_coat.networks import MarginScorer, ProbabilityScorer


class MeanPredictor(nn.Module):
    """Somebody else's predictor: each class's mean probability."""

    def forward(self, image, probs):
        return probs.flatten(2).mean(-1)


def test_probability_scores_are_the_probabilities():
    probs = torch.rand(2, 3, 4, 5)
    scorer = ProbabilityScorer()
    assert torch.equal(scorer(torch.rand(2, 1, 4, 5), probs), probs)
    assert torch.equal(scorer.thresholds(torch.rand(2, 1, 4, 5), probs), torch.zeros(2, 3))


@pytest.mark.parametrize("size", [(4, 5), (3, 4, 5), (7,)])
def test_margins_are_probability_minus_the_image_and_class_threshold(size):
    probs = torch.rand(2, 3, *size)
    scores = MarginScorer(MeanPredictor())(torch.rand(2, 1, *size), probs)
    for image in range(2):
        for index in range(3):
            assert torch.equal(scores[image, index], probs[image, index] - probs[image, index].mean())


@pytest.mark.parametrize("scorer", [ProbabilityScorer(), MarginScorer(MeanPredictor())])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_scores_and_thresholds_are_float32(scorer, dtype):
    image, probs = torch.rand(1, 1, 4, 4).to(dtype), torch.rand(1, 2, 4, 4).to(dtype)
    assert scorer(image, probs).dtype == torch.float32
    assert scorer.thresholds(image, probs).dtype == torch.float32


def test_the_loss_of_margins_has_a_gradient_in_the_predictor_only():
    predictor = nn.Bilinear(1, 1, 1)

    class Learned(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = predictor

        def forward(self, image, probs):
            return self.layer(image.mean((2, 3)), probs.mean((2, 3)))

    MarginScorer(Learned())(torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4)).sum().backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in predictor.parameters())
