# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Thresholds of several classes, learned from a stream of maps."""

from __future__ import annotations

import pytest
import torch

from monai_coat.losses import SoftTPRLoss, ThresholdRegressionLoss
from monai_coat.scorers import ExpectedGapPredictor, MarginScorer, ThresholdPredictor, fit_margins


def maps(count: int = 40, classes: int = 2) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Foreground at a level of each image's own, background at half of it; every fifth image lacks the last class."""
    pairs = []
    for index in range(count):
        level = torch.rand(classes) * 0.5 + 0.4
        label = torch.zeros(classes, 12, 12 + index % 3)
        label[:, :6] = 1
        label[-1] *= bool(index % 5)
        noise = torch.rand(label.shape) * 0.1
        pairs.append(((level[:, None, None] * (0.5 + 0.4 * label) + noise)[None], label[None]))
    return pairs


@pytest.mark.parametrize("space", ["probability", "logit"])
@pytest.mark.parametrize("loss", [SoftTPRLoss(0.2, 0.1), ThresholdRegressionLoss(0.2)], ids=["coat", "at"])
def test_learned_thresholds_follow_the_image(space, loss):
    torch.manual_seed(0)
    scorer = MarginScorer(ThresholdPredictor(2, 3, 2, backbone="none"), space)
    pairs = maps()
    losses = fit_margins(scorer, pairs, loss, epochs=40)
    assert losses[-1] < losses[0]
    assert not scorer.training
    levels = torch.stack([probs[0, 0, :6].mean() for probs, _ in pairs])
    thresholds = torch.cat([scorer.predictor(torch.zeros(1, 3, *p.shape[2:]), p)[:, 0] for p, _ in pairs])
    assert torch.corrcoef(torch.stack([levels, thresholds.detach()]))[0, 1] > 0.8


def test_the_order_is_drawn_from_the_seed_alone():
    start = ThresholdPredictor(2, 3, 2, backbone="none").state_dict()
    weights = []
    for seed in (3, 3, 4):
        scorer = MarginScorer(ThresholdPredictor(2, 3, 2, backbone="none"))
        scorer.predictor.load_state_dict(start)
        torch.manual_seed(0)
        fit_margins(scorer, maps(70), SoftTPRLoss(0.2), seed, epochs=2)
        weights.append(torch.cat([p.flatten() for p in scorer.predictor.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_no_maps_and_other_predictors_are_refused():
    with pytest.raises(ValueError, match="batches must hold at least one batch"):
        fit_margins(MarginScorer(ThresholdPredictor(2, 3, backbone="none")), [], SoftTPRLoss(0.2))
    with pytest.raises(TypeError, match="scorer must have a ThresholdPredictor"):
        fit_margins(MarginScorer(ExpectedGapPredictor(), "logit"), maps(), SoftTPRLoss(0.2))
