# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Either edition of MEG by one call."""

from __future__ import annotations

import pytest
import torch

from monai_coat.scorers import ExpectedGapPredictor, ExpectedGapScorer, MarginScorer, ProbabilityScorer, fit_meg
from tests.scorers.test_expected_gap import generated

ALPHA = 0.2


@pytest.fixture(scope="module")
def batches():
    probs, labels = generated(0, 40)
    return list(zip(probs.split(16), labels.split(16), strict=True))


def test_the_first_edition_is_fitted_with_its_seed(batches):
    scorer = MarginScorer(ExpectedGapPredictor(members=2, width=8), "logit")
    assert fit_meg(scorer, batches, ALPHA, seed=3) is scorer
    direct = ExpectedGapPredictor(members=2, width=8).fit_batches(batches, ALPHA, 3)
    probs = batches[0][0]
    assert torch.equal(scorer(probs, probs), MarginScorer(direct, "logit")(probs, probs))


def test_the_second_edition_is_fitted_with_its_groups(batches):
    groups = [f"video {number // 4}" for number in range(40)]
    scorer = fit_meg(ExpectedGapScorer(), iter(batches), ALPHA, groups=groups)
    assert torch.equal(scorer.weights, ExpectedGapScorer().fit_batches(batches, ALPHA, groups).weights)
    assert scorer.groups[:40].tolist() == [number // 4 for number in range(40)]


def test_other_scorers_are_refused(batches):
    with pytest.raises(TypeError, match=r"scorer must be an ExpectedGapScorer or .*, got ProbabilityScorer"):
        fit_meg(ProbabilityScorer(), batches, ALPHA)
