# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Margins of sketches are those of maps."""

from __future__ import annotations

import pytest
import torch

from monai_coat.losses import SoftTPRLoss
from monai_coat.scorers import ExpectedGapPredictor, MarginScorer, ProbabilityScorer, SketchMargins, ThresholdPredictor
from monai_coat.transforms import MapSketchd


def scorer(space="probability", **settings):
    return MarginScorer(ThresholdPredictor(2, 1, 2, **{"backbone": "none", **settings}), space)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    probs = torch.rand(5, 2, 20, 20, generator=generator) ** 2
    labels = torch.rand(5, 2, 20, 20, generator=generator) < probs
    labels[0, 1] = False  # a class that one image does not contain
    items = [
        MapSketchd("probs", scorer().predictor)({"probs": p, "label": y}) for p, y in zip(probs, labels, strict=True)
    ]
    return probs, labels, {key: torch.stack([item[key] for item in items]) for key in ("image", "sketch", "label")}


@pytest.mark.parametrize(("space", "temperature"), [("probability", 0.05), ("logit", 1.0)])
def test_loss_and_gradient_are_nearly_those_of_the_full_map(batch, space, temperature):
    probs, labels, sketched = batch
    network, loss = scorer(space), SoftTPRLoss(0.1, temperature)
    weights = list(network.parameters())
    full = loss(network(torch.zeros(5, 1, 20, 20), probs), labels)
    short = loss(SketchMargins(network)(sketched["image"], sketched["sketch"]), sketched["label"])
    torch.testing.assert_close(short, full, atol=2e-3, rtol=0)
    for one, other in zip(torch.autograd.grad(full, weights), torch.autograd.grad(short, weights), strict=True):
        torch.testing.assert_close(other, one, atol=5e-3 * float(one.abs().max()) + 1e-6, rtol=0)


def test_it_has_no_weights_of_its_own():
    network = scorer()
    assert [id(p) for p in SketchMargins(network).parameters()] == [id(p) for p in network.parameters()]


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (ProbabilityScorer(), TypeError, "scorer must have a ThresholdPredictor, got NoneType"),
        (MarginScorer(ExpectedGapPredictor()), TypeError, "got ExpectedGapPredictor"),
        (scorer(backbone="small"), ValueError, "scorer's predictor must have the backbone 'none'"),
        (scorer("expected_coverage"), ValueError, "space 'probability' or 'logit'"),
    ],
)
def test_what_cannot_be_trained_so_is_refused(other, error, message):
    with pytest.raises(error, match=message):
        SketchMargins(other)


def test_a_sketched_image_keeps_what_the_predictor_reads_and_drops_the_map(batch):
    probs, labels, _ = batch
    item = MapSketchd("probs", scorer().predictor, points=64)({"probs": probs[0], "label": labels[0], "group": "g"})
    assert set(item) == {"image", "sketch", "label", "group"}
    assert torch.equal(item["image"], scorer().predictor.map_summaries(probs[:1])[0])
    assert item["sketch"].shape == (2, 64)
    assert item["label"].tolist() == [[1.0] * 64, [0.0] * 64]
    assert not item["sketch"][1].any()


def test_one_map_at_a_time():
    with pytest.raises(ValueError, match="keys must name one probability map"):
        MapSketchd(["probs", "other"], scorer().predictor)


def test_a_predictor_that_looks_at_images_is_refused_by_the_transform():
    with pytest.raises(ValueError, match="predictor must have the backbone 'none'"):
        MapSketchd("probs", scorer(backbone="small").predictor)
