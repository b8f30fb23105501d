# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""No two scorers, spaces, sizes, activations or temperatures share an identity, and a difference has its name."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import nn

from monai_coat import scorers
from monai_coat.calibration import identity_of
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.scorers import (
    BoundaryDistanceScorer,
    ExpectedCoverageScorer,
    ExpectedGapPredictor,
    ExpectedGapScorer,
    FoldedScorer,
    IsotonicCalibration,
    LinearThresholdPredictor,
    MarginScorer,
    PlacedScorer,
    PredictAllScorer,
    PredictedRiskScorer,
    ProbabilityScorer,
    Scorer,
    ScoreSpace,
    StratifiedScorer,
    ThresholdPredictor,
)


def predictor(input_size=32, **settings):
    """All of one size have the same weights: it is another network by its settings alone."""
    torch.manual_seed(0)
    return ThresholdPredictor(2, 3, input_size=input_size, backbone="none", **settings)


def isotonic(value):
    calibration = IsotonicCalibration(bins=4)
    calibration.values.fill_(value)
    return calibration


SCORERS = {
    "probability": ProbabilityScorer,
    "predict all": PredictAllScorer,
    "expected coverage": ExpectedCoverageScorer,
    "isotonic 0.2": lambda: ExpectedCoverageScorer(isotonic(0.2)),
    "isotonic 0.3": lambda: ExpectedCoverageScorer(isotonic(0.3)),
    "distance 1.5": lambda: BoundaryDistanceScorer(1.5),
    "distance 5": lambda: BoundaryDistanceScorer(5.0),
    "predicted risk": lambda: PredictedRiskScorer(trees=2, steps=4),
    "predicted risk of more trees": lambda: PredictedRiskScorer(trees=3, steps=4),
    "predicted risk of more steps": lambda: PredictedRiskScorer(trees=2, steps=5),
    "strata": lambda: StratifiedScorer(ProbabilityScorer(), 2),
    "more strata": lambda: StratifiedScorer(ProbabilityScorer(), 3),
    "strata of coverage": lambda: StratifiedScorer(ExpectedCoverageScorer(), 2),
    "folds": lambda: FoldedScorer([ProbabilityScorer(), ExpectedCoverageScorer()]),
    "other folds": lambda: FoldedScorer([ProbabilityScorer(), BoundaryDistanceScorer(1.5)]),
    "linear": lambda: MarginScorer(LinearThresholdPredictor()),
    "expected gap": lambda: MarginScorer(ExpectedGapPredictor(members=2, width=4, keep_precision=True), "logit"),
    "expected gap alone": lambda: MarginScorer(ExpectedGapPredictor(members=2, width=4, keep_precision=False), "logit"),
    "priced": ExpectedGapScorer,
    "priced for the loss of COAT": lambda: ExpectedGapScorer(objective="soft_tpr"),
    "placed": lambda: PlacedScorer(ProbabilityScorer()),
    "placed more steeply": lambda: PlacedScorer(ProbabilityScorer(), slope=30.0),
    **{
        f"{space} at {size}": lambda space=space, size=size: MarginScorer(predictor(size), space)
        for space in ScoreSpace
        for size in (32, 64)
    },
}


def segmenter():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))


def network(make, **settings):
    """The same weights whenever it is made."""
    torch.manual_seed(1)
    return AdaptiveSegmenter(segmenter(), make(), **settings)


NETWORKS = {
    **{name: lambda make=make: network(make) for name, make in SCORERS.items()},
    **{f"{name}, identity": lambda make=make: network(make, activation="identity") for name, make in SCORERS.items()},
    **{f"{name}, at 8": lambda make=make: network(make, logit_temperature=8) for name, make in SCORERS.items()},
}


def test_every_scorer_of_the_room_is_here():
    classes = [getattr(scorers, name) for name in scorers.__all__]
    public = {item for item in classes if isinstance(item, type) and issubclass(item, Scorer) and item is not Scorer}
    assert {type(make()) for make in SCORERS.values()} == public


def test_no_two_share_an_identity_and_each_is_the_same_when_made_again():
    identities = {name: identity_of(make()) for name, make in NETWORKS.items()}
    assert len(identities) == 3 * len(SCORERS)
    for name, other in combinations(identities, 2):
        assert identities[name] != identities[other], (name, other)
        assert identities[name].digest != identities[other].digest, (name, other)
        assert identities[name].differences(identities[other]), (name, other)
    assert {name: identity_of(make()) for name, make in NETWORKS.items()} == identities


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        ("logit at 32", "probability at 32", 'scorer.space ("logit" against "probability")'),
        ("logit at 32", "expected_coverage at 32", 'scorer.space ("logit" against "expected_coverage")'),
        ("logit at 32", "logit at 64", "scorer.predictor.input_size ([32, 32] against [64, 64])"),
        ("logit at 32", "logit at 32, identity", 'activation ("sigmoid" against "identity")'),
        ("logit at 32", "logit at 32, at 8", "logit_temperature (1.0 against 8.0)"),
        ("distance 1.5", "distance 5", 'scorer.kappa ("1.5" against "5.0")'),
        ("isotonic 0.2", "isotonic 0.3", "scorer weights"),
        ("expected gap", "expected gap alone", "scorer.predictor.keep_precision (true against false)"),
        ("predicted risk", "predicted risk of more trees", "scorer weights"),
        (
            "strata",
            "strata of coverage",
            "scorer.scorer (monai_coat.scorers.probability.ProbabilityScorer against "
            "monai_coat.scorers.expected_coverage.ExpectedCoverageScorer)",
        ),
        (
            "probability",
            "predict all",
            "scorer (monai_coat.scorers.probability.ProbabilityScorer against "
            "monai_coat.scorers.predict_all.PredictAllScorer)",
        ),
    ],
)
def test_a_single_difference_has_its_name(one, other, difference):
    first, second = identity_of(NETWORKS[one]()), identity_of(NETWORKS[other]())
    differences = first.differences(second)
    assert difference in differences
    # Nothing but what follows from it: a scorer inside or none has layers of its own.
    assert {text for text in differences if text != difference} <= {"scorer layers"} | {
        text for text in differences if text.startswith("scorer.scorer.calibrator")
    }


def test_a_scorer_from_elsewhere_counts_with_its_settings():
    class Shifted(Scorer):
        def __init__(self, by):
            super().__init__()
            self.by = by

        def forward(self, image, probs):
            return probs - self.by

    def identity(by):
        return identity_of(network(lambda: Shifted(by)))

    assert identity(0.1) == identity(0.1)
    assert identity(0.1).differences(identity(0.2)) == ["scorer layers"]
    assert identity(torch.tensor(0.1)).differences(identity(torch.tensor(0.2))) == ["scorer layers"]


def test_the_ladder_that_is_not_saved_counts():
    first, second = (NETWORKS["expected gap"]() for _ in range(2))
    second.scorer.predictor.ladder[0] -= 1
    assert "ladder" not in "".join(first.state_dict())
    assert identity_of(first).differences(identity_of(second)) == ["scorer weights"]
