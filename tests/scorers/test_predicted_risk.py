# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Predicted risk as a score."""

from __future__ import annotations

import pytest
import torch
from sklearn.ensemble import GradientBoostingRegressor

from monai_coat.networks import load_weights, save_weights
from monai_coat.scorers import PredictedRiskScorer, predicted_risk


@pytest.fixture
def fitted(blobs):
    return PredictedRiskScorer(trees=30, steps=12).fit(*blobs[1:])


def test_the_order_of_pixels_is_kept(fitted, blobs):
    image, probs, _ = blobs
    scores = fitted(image, probs).flatten(1)
    order = probs.flatten(1).argsort(1)
    assert (scores.gather(1, order).diff(dim=1) >= 0).all()


def test_trees_in_buffers_predict_what_scikit_learn_predicts(blobs, monkeypatch):
    models = []

    class Remembered(GradientBoostingRegressor):
        def fit(self, *arguments):
            models.append(self)
            return super().fit(*arguments)

    monkeypatch.setattr(predicted_risk.ensemble, "GradientBoostingRegressor", Remembered)
    scorer = PredictedRiskScorer(trees=30, steps=12).fit(*blobs[1:])
    summaries = scorer.summaries(blobs[1])
    rows = predicted_risk._rows(summaries, scorer.ladder)
    raw = torch.from_numpy(models[0].predict(rows.numpy())) + scorer.mean
    expected = raw.reshape(60, -1).cummax(1).values.clamp(0, 1) + 1e-3 * torch.linspace(0, 1, 12)
    torch.testing.assert_close(scorer.risk(summaries), expected.float(), atol=1e-6, rtol=0)


def test_predicted_risk_is_near_the_true_one(fitted, blobs):
    _, probs, labels = blobs
    risk = fitted.risk(fitted.summaries(probs))
    middle = len(fitted.ladder) // 2
    true = torch.stack(
        [(p[y] < torch.sigmoid(fitted.ladder[middle])).float().mean() for p, y in zip(*blobs[1:], strict=True)]
    )
    assert float((risk[:, middle] - true).abs().mean()) < 0.5 * float((true - true.mean()).abs().mean())
    assert (labels.sum((1, 2, 3)) > 0).all()


def test_the_promise_holds_on_images_that_were_not_learned_from(blobs, promise):
    image, probs, labels = blobs
    scorer = PredictedRiskScorer(trees=10, steps=8).fit(probs[:30], labels[:30])
    assert promise(scorer(image[30:], probs[30:]), labels[30:]) <= 0.2 + 1e-12


def test_trees_travel_with_the_weights_and_refuse_before(fitted, blobs, tmp_path):
    save_weights(fitted, tmp_path / "scorer.pt")
    other = PredictedRiskScorer(trees=30, steps=12)
    with pytest.raises(RuntimeError, match="scorer must be fitted before it is used"):
        other(*blobs[:2])
    assert torch.equal(load_weights(other, tmp_path / "scorer.pt")(*blobs[:2]), fitted(*blobs[:2]))


def test_nan_in_a_map_stays_nan_and_in_its_image(fitted, blobs):
    image, probs = blobs[0][:2], blobs[1][:2].clone()
    probs[0, 0, 3, 4] = torch.nan
    scores = fitted(image, probs)
    assert torch.isnan(scores[0, 0, 3, 4])
    assert torch.equal(scores[1], fitted(*(each[:2] for each in blobs[:2]))[1])


@pytest.mark.parametrize("settings", [{"trees": 0}, {"steps": 1}])
def test_bad_settings_are_named(settings):
    with pytest.raises(ValueError, match="trees must be at least 1 and steps at least 2, got"):
        PredictedRiskScorer(**settings)


def test_bad_maps_are_named():
    with pytest.raises(ValueError, match="probs must have one class, got 2"):
        PredictedRiskScorer().fit(torch.rand(3, 2, 8, 8), torch.ones(3, 2, 8, 8))
    with pytest.raises(ValueError, match="labels must have foreground"):
        PredictedRiskScorer().fit(torch.rand(3, 1, 8, 8), torch.zeros(3, 1, 8, 8))
