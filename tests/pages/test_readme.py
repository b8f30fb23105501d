# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The code of the README and of ``docs/deployment.md``, run as it stands."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from monai.data import DataLoader
from monai.networks.nets import UNet

from monai_coat.calibration import load_calibration
from monai_coat.data import synthetic_images, synthetic_maps
from monai_coat.handlers import ConformalCalibration
from monai_coat.networks import AdaptiveSegmenter, save_weights
from monai_coat.scorers import MarginScorer, ThresholdPredictor
from tests.fenced import code_of, sections_of

README = sections_of("../README.md")


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_four_ways(tmp_path):
    torch.manual_seed(0)
    data = synthetic_images(20, (32, 32))
    loader, model = DataLoader(data, batch_size=5), UNet(2, 3, 1, (4, 8), (2,))
    names = {"model": model, "network": AdaptiveSegmenter(model), "calibration_loader": loader}
    names |= {"image": data[0]["image"][None]}
    maps = synthetic_maps(20, (16, 16))
    names |= {
        "scores": [m["probs"] for m in maps],
        "labels": [m["label"] for m in maps],
        "new_scores": maps[0]["probs"],
    }
    for block in README["Four ways to use it"]:
        exec(block, names)
    assert load_calibration("calibration.json").n == (20,)
    assert names["mask"].shape == maps[0]["probs"].shape
    assert names["certain"].controls.startswith("false_positive_ratio")


def test_thresholds_are_learned_and_calibrated():
    names: dict = {}
    for block in README["Learn thresholds"]:
        exec(block, names)
    assert names["mask"].dtype == torch.bool
    assert bool(names["network"].calibrated)


@pytest.mark.filterwarnings("ignore")  # the exporters'
def test_a_network_leaves_python_in_three_formats(tmp_path):
    torch.manual_seed(0)
    predictor = MarginScorer(ThresholdPredictor(2, 3))
    names = {"preprocessing": None, "inferer": None, "restore": None}
    network = AdaptiveSegmenter(UNet(2, 3, 1, (4, 8, 8), (2, 2)), predictor)
    engine = Engine(lambda engine, batch: (network(batch["image"]), batch["label"]))
    path = tmp_path / "models/calibration_coat.json"
    ConformalCalibration(alpha=0.1, network=network, path=path, method="coat", pipeline=names).attach(engine)
    engine.run(DataLoader(synthetic_images(12, (32, 32)), batch_size=4))
    save_weights(network, tmp_path / "models/model_coat.pt")
    for block in code_of("deployment.md"):
        exec(block, {**names, "network": network})
    assert all((tmp_path / name).stat().st_size for name in ("mask.ts", "mask.pt2", "mask.onnx"))
