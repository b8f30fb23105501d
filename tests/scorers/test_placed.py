# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Ties broken by place, around any scorer."""

from __future__ import annotations

import pytest
import torch

from monai_coat.calibration import calibrate_maps
from monai_coat.scorers import (
    ExpectedCoverageScorer,
    MarginScorer,
    PlacedScorer,
    ProbabilityScorer,
    ThresholdPredictor,
    scorer_of_config,
)

INNER = {
    "probability": ProbabilityScorer,
    "expected coverage": ExpectedCoverageScorer,
    "margin": lambda: MarginScorer(ThresholdPredictor(2, in_channels=1, backbone="none"), "logit"),
}
MAPS = (torch.rand(6, 1, 20, 20, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.3).clamp(0, 1)
MAPS[..., :8, :8] = 0


@pytest.mark.parametrize("name", INNER)
def test_what_was_apart_keeps_its_order_and_ties_are_broken(name):
    inner = INNER[name]().eval()
    with torch.no_grad():
        before, after = inner(MAPS, MAPS), PlacedScorer(inner)(MAPS, MAPS)
    between = (MAPS > 0) & (MAPS < 1)
    assert torch.equal(before[between], after[between])
    for probs, scores in zip(MAPS, after, strict=True):
        order = probs.flatten().sort().indices
        steps = probs.flatten()[order].diff() > 0
        assert (scores.flatten()[order].diff()[steps] > -1e-5).all()
    assert len(after[0][MAPS[0] == 0].unique()) > 1


def test_a_level_that_only_the_whole_image_reached_is_reached_by_growing():
    probs = torch.zeros(20, 1, 30, 30)
    probs[..., 10:20, 10:20] = 0.8
    labels = torch.zeros_like(probs, dtype=torch.bool)
    labels[..., 8:22, 8:22] = True
    whole = calibrate_maps(list(ProbabilityScorer()(probs, probs)), list(labels), alpha=0.1).cutoff[0]
    assert bool((probs >= whole).all())
    scores = PlacedScorer(ProbabilityScorer())(probs, probs)
    sets = scores >= calibrate_maps(list(scores), list(labels), alpha=0.1).cutoff[0]
    assert sets[0].sum() <= 18 * 18
    assert (sets & labels).sum() / labels.sum() >= 0.9


def test_it_is_made_from_its_description():
    config = {"_target_": "PlacedScorer", "scorer": {"_target_": "ProbabilityScorer"}, "slope": 2.0}
    assert torch.equal(scorer_of_config(config)(MAPS, MAPS), PlacedScorer(ProbabilityScorer(), 2.0)(MAPS, MAPS))


def test_what_cannot_be_placed_is_refused():
    with pytest.raises(TypeError, match=r"scorer must be a Scorer, got Identity"):
        PlacedScorer(torch.nn.Identity())
    with pytest.raises(ValueError, match=r"slope must be positive, got 0"):
        PlacedScorer(ProbabilityScorer(), 0)
