# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""CRA's scorer and isotonic calibration."""

from __future__ import annotations

import pytest
import torch

from monai_coat.functional import expected_coverage_scores
from monai_coat.networks import ExpectedCoverageScorer, IsotonicCalibration, load_weights, save_weights


def test_scores_are_the_function_and_keep_the_promise(blobs, promise):
    image, probs, labels = blobs
    scores = ExpectedCoverageScorer()(image, probs)
    assert torch.equal(scores, expected_coverage_scores(probs))
    assert promise(scores[:30], labels[:30]) <= 0.2 + 1e-12


def test_calibration_finds_the_share_of_foreground():
    generator = torch.Generator().manual_seed(0)
    probs = torch.rand(40, 1, 64, 64, generator=generator)
    labels = torch.rand(probs.shape, generator=generator) < probs**2
    found = IsotonicCalibration().fit(probs, labels)(torch.linspace(0.1, 0.9, 9))
    torch.testing.assert_close(found, torch.linspace(0.1, 0.9, 9) ** 2, atol=0.05, rtol=0)


def test_every_image_weighs_the_same():
    # Probability 0.5 everywhere; foreground on 1 of 4 and on 3 of 4 pixels: one half, as each image says.
    probs = torch.full((2, 1, 2, 2), 0.5)
    labels = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 0]]).reshape(2, 1, 2, 2)
    assert float(IsotonicCalibration().fit(probs, labels)(torch.tensor(0.5))) == pytest.approx(0.5, abs=1e-3)


def test_calibration_keeps_the_order_where_the_regression_is_flat(blobs):
    _, probs, labels = blobs
    calibration = IsotonicCalibration().fit(probs, torch.zeros_like(labels))
    ladder = torch.linspace(0.001, 0.999, 500)
    assert (calibration(ladder).diff() > 0).all()


def test_calibration_travels_with_the_weights_and_refuses_before(blobs, tmp_path):
    image, probs, labels = blobs
    scorer = ExpectedCoverageScorer(IsotonicCalibration().fit(probs, labels))
    save_weights(scorer, tmp_path / "scorer.pt")
    other = ExpectedCoverageScorer(IsotonicCalibration())
    with pytest.raises(RuntimeError, match="calibration must be fitted before it is used"):
        other(image, probs)
    assert torch.equal(load_weights(other, tmp_path / "scorer.pt")(image, probs), scorer(image, probs))
    assert torch.equal(torch.jit.script(scorer)(image, probs), scorer(image, probs))


def test_maps_and_masks_must_have_one_shape():
    with pytest.raises(ValueError, match="shape"):
        IsotonicCalibration().fit(torch.rand(2, 1, 4, 4), torch.ones(2, 1, 4, 5))
