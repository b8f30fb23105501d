# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is fitted refuses before it is, and is exported afterwards."""

from __future__ import annotations

import pytest
import torch

from monai_coat.scorers import (
    ExpectedCoverageScorer,
    ExpectedGapPredictor,
    IsotonicCalibration,
    LinearThresholdPredictor,
    MarginScorer,
    PredictedRiskScorer,
    ProbabilityScorer,
    StratifiedScorer,
)

UNFITTED = {
    "linear": lambda: MarginScorer(LinearThresholdPredictor()),
    "expected gap": lambda: MarginScorer(ExpectedGapPredictor(members=2, width=8), "logit"),
    "isotonic": lambda: ExpectedCoverageScorer(IsotonicCalibration(16)),
    "strata": lambda: StratifiedScorer(ProbabilityScorer(), 2),
    "risk": lambda: PredictedRiskScorer(trees=3, steps=4),
}


@pytest.fixture(scope="module")
def maps():
    generator = torch.Generator().manual_seed(0)
    probs = torch.rand(24, 1, 8, 8, generator=generator) * torch.rand(24, 1, 1, 1, generator=generator)
    return probs, torch.rand(24, 1, 8, 8, generator=generator) < probs


def fit(name, scorer, probs, labels):
    if name == "linear":
        scorer.predictor.set_coefficients(torch.linspace(-0.01, 0.01, 31)[None])
    elif name == "expected gap":
        scorer.predictor.fit(probs, labels, alpha=0.2)
    elif name == "isotonic":
        scorer.calibrator.fit(probs, labels)
    elif name == "strata":
        scorer.fit(probs, probs, labels, alpha=0.2)
    else:
        scorer.fit(probs, labels)
    return scorer.eval()


@pytest.mark.parametrize("name", UNFITTED)
def test_it_refuses_before(name, maps):
    with pytest.raises(RuntimeError, match=r"must be fitted before it is used; call \w+, or load fitted weights"):
        UNFITTED[name]()(maps[0], maps[0])


@pytest.mark.parametrize("name", ["linear", "expected gap", "isotonic"])
def test_its_script_refuses_too(name, maps):
    with pytest.raises(torch.jit.Error, match="must be fitted before it is used"):
        torch.jit.script(UNFITTED[name]())(maps[0], maps[0])


@pytest.mark.parametrize("name", UNFITTED)
def test_exported_it_gives_the_same_scores(name, maps):
    probs, _ = maps
    scorer = fit(name, UNFITTED[name](), *maps)
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(scorer, (probs[:4], probs[:4]), dynamic_shapes=({0: batch}, {0: batch})).module()
    torch.testing.assert_close(exported(probs, probs), scorer(probs, probs))
