# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_coat.functional import expected_coverage_scores, logit_scores
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.scorers import MarginScorer, PredictAllScorer, ProbabilityScorer, ScoreSpace, ThresholdPredictor


class MeanPredictor(nn.Module):
    """Somebody else's predictor: each class's mean probability."""

    def forward(self, image, probs):
        return probs.flatten(2).mean(-1)


@pytest.mark.parametrize("size", [(4, 5), (3, 4, 5), (7,)])
def test_margins_are_probability_minus_the_image_and_class_threshold(size):
    probs = torch.rand(2, 3, *size)
    scores = MarginScorer(MeanPredictor())(torch.rand(2, 1, *size), probs)
    for image in range(2):
        for index in range(3):
            assert torch.equal(scores[image, index], probs[image, index] - probs[image, index].mean())


@pytest.mark.parametrize("scorer", [ProbabilityScorer(), MarginScorer(MeanPredictor()), PredictAllScorer()])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_scores_and_thresholds_are_float32(scorer, dtype):
    image, probs = torch.rand(1, 1, 4, 4).to(dtype), torch.rand(1, 2, 4, 4).to(dtype)
    assert scorer(image, probs).dtype == torch.float32
    thresholds = scorer.calibrated_threshold(image, probs, torch.zeros(2))
    assert thresholds is None or thresholds.dtype == torch.float32


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


def test_margins_in_other_spaces_by_definition():
    image, probs = torch.rand(2, 1, 6, 5), torch.rand(2, 3, 6, 5)
    tau = probs.flatten(2).mean(-1)[..., None, None]
    logit = MarginScorer(MeanPredictor(), "logit")(image, probs)
    torch.testing.assert_close(logit, logit_scores(probs) - logit_scores(tau))
    share = MarginScorer(MeanPredictor(), "expected_coverage")(image, probs)
    torch.testing.assert_close(share, expected_coverage_scores(probs) - tau)


@pytest.mark.parametrize("cutoff", [-0.75, 0.0, 0.3])
@pytest.mark.parametrize("space", ["probability", "logit"])
def test_the_calibrated_threshold_cuts_what_the_scores_cut(space, cutoff):
    network = AdaptiveSegmenter(nn.Conv2d(1, 1, 1), MarginScorer(MeanPredictor(), space))
    network.set_calibration((cutoff,), alpha=0.1, n=(99,))
    image = torch.randn(3, 1, 9, 9)
    probs = network.probabilities(image)
    thresholds = network.thresholds(image)[..., None, None]
    apart = (probs - thresholds).abs() > 1e-5
    assert torch.equal((probs >= thresholds)[apart], network.prediction_set(image)[apart])


def test_a_scorer_without_thresholds_says_so():
    class Other(nn.Module):
        def forward(self, image, probs):
            return probs

    network = AdaptiveSegmenter(nn.Conv2d(1, 1, 1), Other())
    network.set_calibration((0.5,), alpha=0.1, n=(99,))
    with pytest.raises(TypeError, match="scorer must cut the probability map, got Other"):
        network.thresholds(torch.rand(1, 1, 4, 4))


@pytest.mark.parametrize("space", list(ScoreSpace))
def test_margins_in_every_space_can_be_scripted(space):
    scorer = MarginScorer(ThresholdPredictor(2, 1, backbone="none"), space).eval()
    image, probs = torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(torch.jit.script(scorer)(image, probs), scorer(image, probs))


def test_an_unknown_space_is_refused():
    with pytest.raises(ValueError, match="space must be one of probability, logit, expected_coverage, got 'odds'"):
        MarginScorer(MeanPredictor(), "odds")


@pytest.mark.parametrize("arguments", [{"backbone": "none"}, {"backbone": "small", "summaries": False}])
def test_a_predictor_can_start_at_one_threshold(arguments):
    predictor = ThresholdPredictor(2, 1, **arguments)
    for parameter in predictor.head[-1].parameters():
        nn.init.zeros_(parameter)
    found = predictor.start_at(0.2)(torch.rand(3, 1, 32, 32), torch.rand(3, 1, 32, 32))
    torch.testing.assert_close(found, torch.full((3, 1), 0.2))
    with pytest.raises(ValueError, match="threshold must be in"):
        predictor.start_at(1.0)
