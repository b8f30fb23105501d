# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from monai_coat.calibration import (
    ExpectedRisk,
    WorstClassFalseNegativeRate,
    calibrate_maps,
    identity_of,
    load_calibration,
    save_calibration,
)
from monai_coat.inferers import load_calibrated
from monai_coat.networks import AdaptiveSegmenter, save_weights
from monai_coat.scorers import MarginScorer, ThresholdPredictor


def networks_of_one_segmenter():
    segmenter = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))
    predictor = ThresholdPredictor(2, 3, backbone="none", input_size=16)
    return {"crc": AdaptiveSegmenter(segmenter), "coat": AdaptiveSegmenter(segmenter, MarginScorer(predictor))}


def calibrate_and_save(networks, folder, alpha=0.1):
    images, labels = torch.rand(12, 3, 16, 16), torch.ones(12, 1, 16, 16)
    for method, network in networks.items():
        with torch.no_grad():
            result = calibrate_maps(list(network(images)), list(labels), alpha)
        result = type(result)(**{**vars(result), "method": method, "identity": identity_of(network)})
        network.set_calibration(result.cutoff, result.alpha, result.n)
        save_calibration(result, folder / f"calibration_{method}.json")
        save_weights(network, folder / f"model_{method}.pt")


@pytest.fixture
def saved(tmp_path):
    networks = networks_of_one_segmenter()
    calibrate_and_save(networks, tmp_path)
    return networks, tmp_path


def test_they_come_back_as_they_were(saved):
    networks, folder = saved
    fresh = networks_of_one_segmenter()
    loaded = load_calibrated(fresh, folder, alpha=0.1)
    assert list(loaded) == ["crc", "coat"]
    image = torch.rand(2, 3, 16, 16)
    for method, network in networks.items():
        assert loaded[method] is fresh[method]
        assert torch.equal(loaded[method].prediction_set(image), network.prediction_set(image))
        assert torch.equal(loaded[method].thresholds(image), network.thresholds(image))


def test_a_path_may_be_text_and_one_network_enough(saved):
    networks, folder = saved
    loaded = load_calibrated({"coat": networks_of_one_segmenter()["coat"]}, str(folder), alpha=0.1)
    assert torch.equal(loaded["coat"].calibrated_cutoff, networks["coat"].calibrated_cutoff)


def test_weights_saved_before_the_calibration_are_calibrated_by_the_artifact(saved):
    networks, folder = saved
    networks["coat"].clear_calibration()
    save_weights(networks["coat"], folder / "model_coat.pt")
    loaded = load_calibrated({"coat": networks_of_one_segmenter()["coat"]}, folder, alpha=0.1)
    assert bool(loaded["coat"].calibrated)
    assert torch.equal(loaded["coat"].calibrated_cutoff, networks["coat"].calibrated_cutoff)


def refused(folder, match, error=ValueError, alpha=0.1, methods=("crc", "coat")):
    networks = networks_of_one_segmenter()
    with pytest.raises(error, match=match):
        load_calibrated({method: networks[method] for method in methods}, folder, alpha)
    # Who catches the error has no network that looks calibrated and is not.
    with pytest.raises(RuntimeError, match="network must be calibrated"):
        networks[methods[-1]].prediction_set(torch.rand(1, 3, 8, 8))


def test_another_level_is_refused(saved):
    refused(saved[1], r"calibration is for alpha=0\.1, wanted is alpha=0\.2", alpha=0.2, methods=("coat",))


def test_another_promise_is_refused_and_one_must_be_said(saved):
    _, folder = saved
    assert load_calibrated(networks_of_one_segmenter(), folder, guarantee=ExpectedRisk(alpha=0.1))
    worst = ExpectedRisk(WorstClassFalseNegativeRate(), 0.1)
    with pytest.raises(ValueError, match="wanted is expected_risk of worst_class_false_negative_rate; calibrate for"):
        load_calibrated(networks_of_one_segmenter(), folder, guarantee=worst)
    with pytest.raises(TypeError, match="alpha or guarantee must be given, got neither"):
        load_calibrated(networks_of_one_segmenter(), folder)


def test_an_artifact_of_another_network_is_refused(saved, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    calibrate_and_save(networks_of_one_segmenter(), elsewhere)
    (elsewhere / "calibration_coat.json").rename(saved[1] / "calibration_coat.json")
    refused(saved[1], r"calibration is of another pipeline: .*scorer weights, segmenter weights; calibrate this one")


def test_a_calibration_of_false_positives_is_no_prediction_set(saved):
    _, folder = saved
    path = folder / "calibration_coat.json"
    words = "E[min(1, false positives / foreground)] <= 0.1"
    save_calibration(replace(load_calibration(path), controls="false_positive_ratio", guarantee=words), path)
    with pytest.raises(
        ValueError, match=r"calibration_coat.json must be of what is missed, got one of 'false_positive_ratio'"
    ):
        load_calibrated(networks_of_one_segmenter(), folder, alpha=0.1)


def test_swapped_artifacts_are_refused(saved):
    folder = saved[1]
    (folder / "calibration_crc.json").rename(folder / "spare")
    (folder / "calibration_coat.json").rename(folder / "calibration_crc.json")
    (folder / "spare").rename(folder / "calibration_coat.json")
    refused(folder, r"calibration is of another pipeline: .*weights", methods=("coat",))


def test_weights_changed_after_the_calibration_are_refused(saved):
    networks, folder = saved
    with torch.no_grad():
        next(networks["coat"].scorer.parameters()).add_(1e-3)
    save_weights(networks["coat"], folder / "model_coat.pt")
    refused(folder, r"calibration is of another pipeline: .*weights")


@pytest.mark.parametrize("name", ["model_coat.pt", "calibration_coat.json"])
def test_missing_files_are_named(saved, name):
    (saved[1] / name).unlink()
    refused(saved[1], rf"got .*{name}", error=FileNotFoundError, methods=("coat",))


def test_networks_that_share_a_segmenter_must_be_calibrated_with_it(saved, tmp_path_factory):
    # COAT was calibrated again, with a segmenter trained anew: CRC's calibration is out of date.
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    calibrate_and_save(networks_of_one_segmenter(), elsewhere)
    for name in ("model_coat.pt", "calibration_coat.json"):
        (elsewhere / name).rename(saved[1] / name)
    refused(saved[1], r"calibration is of another pipeline: .*weights")
    load_calibrated({"coat": networks_of_one_segmenter()["coat"]}, saved[1], 0.1)  # alone it is fine
