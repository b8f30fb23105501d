# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""AA-CRC's thresholds as a predictor."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_coat.functional import foreground_sketch
from monai_coat.networks import load_weights, save_weights
from monai_coat.scorers import LinearThresholdPredictor, MarginScorer, fit_linear_thresholds


class MeanAndImage(nn.Module):
    """Somebody's embedding: the mean probability and the mean of the image."""

    def forward(self, image, probs):
        return torch.cat([probs.flatten(2).mean(-1), image.flatten(2).mean(-1)], 1)


def test_thresholds_are_linear_in_the_embedding(blobs):
    image, probs, _ = blobs
    predictor = LinearThresholdPredictor(embedding=MeanAndImage(), num_features=2)
    predictor.set_coefficients(torch.tensor([[0.5, 2.0, -1.0]]))
    expected = 0.5 + 2 * probs.flatten(2).mean(-1) - image.flatten(2).mean(-1)
    torch.testing.assert_close(predictor(image, probs), expected)


def test_fitted_on_other_images_it_keeps_the_promise(blobs, promise):
    image, probs, labels = blobs
    predictor = LinearThresholdPredictor()
    features, sketches = predictor.features(image[:30], probs[:30]), foreground_sketch(probs[:30], labels[:30])
    theta = fit_linear_thresholds(features, sketches[:, 0], level=0.2, ridge=1e-3)
    scorer = MarginScorer(predictor.set_coefficients(theta[None].float()))
    assert promise(scorer(image[30:], probs[30:]), labels[30:]) <= 0.2 + 1e-12


def test_coefficients_travel_with_the_weights_and_refuse_before(blobs, tmp_path):
    image, probs, _ = blobs
    predictor = LinearThresholdPredictor().set_coefficients(torch.rand(1, 31))
    save_weights(predictor, tmp_path / "predictor.pt")
    other = LinearThresholdPredictor()
    for form in (other, torch.jit.script(other)):
        with pytest.raises((RuntimeError, torch.jit.Error), match="call set_coefficients"):
            form(image, probs)
    assert torch.equal(load_weights(other, tmp_path / "predictor.pt")(image, probs), predictor(image, probs))
    torch.testing.assert_close(torch.jit.script(predictor)(image, probs), predictor(image, probs))


def test_exported_it_gives_the_same_thresholds(blobs):
    """ONNX goes through this form, which cannot look at coefficients to decide what to do."""
    _, probs, _ = blobs
    two = torch.cat([probs, 1 - probs], 1)
    coefficients = torch.linspace(-0.02, 0.02, 122).reshape(2, 61)
    predictor = LinearThresholdPredictor(num_classes=2).set_coefficients(coefficients)
    exported = torch.export.export(predictor, (two, two)).module()
    torch.testing.assert_close(exported(two, two), predictor(two, two))


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="num_features must be given with an embedding"):
        LinearThresholdPredictor(embedding=MeanAndImage())
    with pytest.raises(ValueError, match=r"coefficients must be finite and of shape \(1, 31\), got \(1, 3\)"):
        LinearThresholdPredictor().set_coefficients(torch.rand(1, 3))
