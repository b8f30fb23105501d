# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Several scorers as one: sets are unions, and thresholds the smallest."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_coat.calibration import identity_of
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.scorers import (
    BoundaryDistanceScorer,
    FoldedScorer,
    LinearThresholdPredictor,
    MarginScorer,
    ProbabilityScorer,
    scorer_of_config,
)


def linear(seed, space="probability"):
    """A margin over thresholds that are linear in features of the map."""
    predictor = LinearThresholdPredictor(num_classes=2)
    generator = torch.Generator().manual_seed(seed)
    parts = {
        name: 0.02 * torch.randn(value.shape, generator=generator) for name, value in predictor.state_dict().items()
    }
    predictor.load_state_dict({**predictor.state_dict(), **{n: v for n, v in parts.items() if v.is_floating_point()}})
    return MarginScorer(predictor, space).eval()


@pytest.mark.parametrize("space", ["probability", "logit"])
@pytest.mark.parametrize("shape", [(3, 2, 9, 7), (2, 2, 4, 3, 5)])
def test_a_set_is_the_union_of_all_sets(shape, space):
    scorers, probs = [linear(seed, space) for seed in range(4)], torch.rand(shape)
    whole = FoldedScorer(scorers)
    for cutoff in (-0.2, 0.0, 0.3):
        union = torch.stack([scorer(probs, probs) >= cutoff for scorer in scorers]).any(0)
        assert torch.equal(whole(probs, probs) >= cutoff, union)
        assert whole(probs, probs).dtype == torch.float32


def test_the_threshold_cuts_the_union():
    scorers, probs, cutoff = [linear(seed) for seed in range(3)], torch.rand(4, 2, 6, 5), torch.tensor([0.1, -0.05])
    whole = FoldedScorer(scorers)
    found = whole.calibrated_threshold(probs, probs, cutoff)
    assert torch.equal(found, torch.stack([s.calibrated_threshold(probs, probs, cutoff) for s in scorers]).amin(0))
    inside = whole(probs, probs) >= cutoff[:, None, None]
    clear = (probs - found[..., None, None]).abs() > 1e-6
    assert torch.equal((probs >= found[..., None, None])[clear], inside[clear])
    moved = FoldedScorer([ProbabilityScorer(), BoundaryDistanceScorer()])
    assert moved.calibrated_threshold(probs, probs, cutoff) is None


def test_one_alone_is_itself_and_none_is_refused():
    scorer, probs = linear(0), torch.rand(1, 2, 6, 5)
    assert torch.equal(FoldedScorer([scorer])(probs, probs), scorer(probs, probs))
    with pytest.raises(ValueError, match="scorers must hold at least one scorer, got none"):
        FoldedScorer([])
    with pytest.raises(TypeError, match="scorers must hold scorers, got Linear"):
        FoldedScorer([scorer, nn.Linear(1, 1)])


def test_it_is_made_again_by_its_description_and_weights():
    part = {"_target_": "MarginScorer", "space": "logit"}
    part["predictor"] = {"_target_": "LinearThresholdPredictor", "num_classes": 2}
    whole, probs = FoldedScorer([linear(seed, "logit") for seed in range(3)]), torch.rand(2, 2, 6, 5)
    again = scorer_of_config({"_target_": "FoldedScorer", "scorers": [part] * 3})
    again.load_state_dict(whole.state_dict())
    assert torch.equal(again(probs, probs), whole(probs, probs))
    with pytest.raises(ValueError, match="_target_ must be one of"):
        scorer_of_config({"_target_": "FoldedScorer", "scorers": [part, {"_target_": "os.system"}]})


def test_each_of_them_is_part_of_the_identity():
    first, other = (FoldedScorer([linear(0), linear(seed)]) for seed in (1, 2))
    assert identity_of(first).differences(identity_of(other))
    assert identity_of(first) == identity_of(FoldedScorer([linear(0), linear(1)]))


def test_it_scores_in_a_network_and_in_a_script():
    network = AdaptiveSegmenter(nn.Conv2d(3, 2, 1), FoldedScorer([linear(0), linear(1)]), num_classes=2).eval()
    image = torch.rand(2, 3, 8, 8)
    scores = network(image)
    assert scores.shape == (2, 2, 8, 8)
    scorer = FoldedScorer([ProbabilityScorer(), ProbabilityScorer()])
    assert torch.equal(torch.jit.script(scorer)(scores.sigmoid(), scores.sigmoid()), scores.sigmoid())
