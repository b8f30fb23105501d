# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The probability as the score."""

from __future__ import annotations

import torch

from monai_coat.scorers import ProbabilityScorer


def test_probability_scores_are_the_probabilities():
    probs = torch.rand(2, 3, 4, 5)
    scorer = ProbabilityScorer()
    assert torch.equal(scorer(torch.rand(2, 1, 4, 5), probs), probs)
    cutoff = torch.tensor([0.25, -1.0, 1.5])
    thresholds = scorer.calibrated_threshold(torch.rand(2, 1, 4, 5), probs, cutoff)
    assert thresholds.tolist() == [[0.25, 0.0, 1.0]] * 2
