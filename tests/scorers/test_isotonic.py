# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Isotonic calibration of probabilities."""

from __future__ import annotations

import runpy
import sys
from types import SimpleNamespace

import pytest
import torch
from monai.utils.module import OptionalImportError

from monai_coat.networks import load_weights, save_weights
from monai_coat.scorers import ExpectedCoverageScorer, IsotonicCalibration, isotonic, predicted_risk


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
    close = torch.linspace(0, 1, 200001)
    for regression in (calibration, IsotonicCalibration().fit(probs, torch.ones_like(labels))):
        assert (regression(close).diff() >= 0).all()


def test_calibration_travels_with_the_weights_and_refuses_before(blobs, tmp_path):
    image, probs, labels = blobs
    scorer = ExpectedCoverageScorer(IsotonicCalibration().fit(probs, labels))
    save_weights(scorer, tmp_path / "scorer.pt")
    other = ExpectedCoverageScorer(IsotonicCalibration())
    with pytest.raises(RuntimeError, match="calibration must be fitted before it is used"):
        other(image, probs)
    assert torch.equal(load_weights(other, tmp_path / "scorer.pt")(image, probs), scorer(image, probs))
    assert torch.equal(torch.jit.script(scorer)(image, probs), scorer(image, probs))


def test_nan_in_a_map_stays_nan(blobs):
    _, probs, labels = blobs
    calibration = IsotonicCalibration().fit(probs, labels)
    assert torch.isnan(calibration(torch.tensor([0.5, torch.nan]))).tolist() == [False, True]
    assert torch.isnan(ExpectedCoverageScorer(calibration)(probs[:1], torch.full((1, 1, 2, 2), torch.nan))).all()


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    for name in ("sklearn", "sklearn.isotonic", "sklearn.ensemble"):
        monkeypatch.setitem(sys.modules, name, None)
    for module, call in (
        (isotonic, lambda copy, maps: copy.IsotonicCalibration().fit(maps, maps > 0.5)),
        (predicted_risk, lambda copy, maps: copy.PredictedRiskScorer(2, 2).fit(maps, maps > 0.5)),
    ):
        copy = runpy.run_path(module.__file__)
        with pytest.raises(OptionalImportError, match=r"pip install 'monai_coat\[methods\]'"):
            call(SimpleNamespace(**copy), torch.rand(3, 1, 8, 8))


@pytest.mark.parametrize(
    ("probs", "labels", "says"),
    [
        (torch.full((1, 1, 2, 2), torch.nan), torch.ones(1, 1, 2, 2), "probs must be finite, got NaN"),
        (torch.full((1, 1, 2, 2), 0.5), torch.full((1, 1, 2, 2), 255), "labels must hold only 0 and 1, got 255"),
    ],
)
def test_bad_maps_are_named(probs, labels, says):
    with pytest.raises(ValueError, match=says):
        IsotonicCalibration().fit(probs, labels)


def test_there_must_be_a_bin():
    with pytest.raises(ValueError, match="bins must be at least 1, got 0"):
        IsotonicCalibration(0)


def test_maps_and_masks_must_have_one_shape():
    with pytest.raises(ValueError, match="shape"):
        IsotonicCalibration().fit(torch.rand(2, 1, 4, 4), torch.ones(2, 1, 4, 5))
