# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The host's own engines train, calibrate and evaluate: none of them knows of this package."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from monai.data import CacheDataset, DataLoader, Dataset
from monai.engines import PrepareBatchExtraInput, SupervisedEvaluator, SupervisedTrainer, default_prepare_batch
from monai.handlers import from_engine
from monai.transforms import Compose, EnsureTyped, RandFlipd
from torch import nn

from monai_coat.calibration import calibrate_maps, load_calibration
from monai_coat.data import synthetic_images
from monai_coat.handlers import ConformalCalibration, Coverage, CoverageGap, ImageRecords, LossHistory, load_losses
from monai_coat.inferers import AdaptiveInferer, load_calibrated
from monai_coat.losses import SoftTPRLoss
from monai_coat.networks import AdaptiveSegmenter, save_weights
from monai_coat.scorers import MarginScorer, ThresholdPredictor
from monai_coat.transforms import ConformalMaskd, SegmenterProbsd

ALPHA = 0.1
CPU = torch.device("cpu")
PAIR = from_engine(["pred", "label"])
SAMPLES = [{key: sample[key] for key in ("image", "label")} for sample in synthetic_images(200, (32, 32), seed=1)]
TRAIN, CALIBRATION, TEST = SAMPLES[:100], SAMPLES[100:150], SAMPLES[150:]


def make_networks():
    """A segmenter that finds what is brighter than the rest, alone and with a predictor of thresholds."""
    segmenter = nn.Sequential(nn.InstanceNorm2d(3), nn.AvgPool2d(3, 1, 1), nn.Conv2d(3, 1, 1))
    nn.init.constant_(segmenter[2].weight, 1.0)
    nn.init.constant_(segmenter[2].bias, -2.0)
    torch.manual_seed(0)
    predictor = ThresholdPredictor(2, 3, input_size=32)
    return {"crc": AdaptiveSegmenter(segmenter), "coat": AdaptiveSegmenter(segmenter, MarginScorer(predictor))}


def train(network, folder, through):
    """Train the predictor by the host's trainer: inside the network, or alone on maps that the host's dataset keeps."""
    if through == "scorer":
        flip = RandFlipd(["image", "probs", "label"], prob=0.5, spatial_axis=0)
        dataset = CacheDataset(TRAIN, Compose([SegmenterProbsd("image", network), flip]), progress=False)
        trained, prepare = network.scorer, PrepareBatchExtraInput("probs")
    else:
        dataset, trained, prepare = Dataset(TRAIN), network, default_prepare_batch
    SupervisedTrainer(
        device=CPU,
        max_epochs=15,
        train_data_loader=DataLoader(dataset, batch_size=20, shuffle=True),
        network=trained,
        optimizer=torch.optim.Adam(network.scorer.parameters(), 3e-3),
        loss_function=SoftTPRLoss(ALPHA),
        prepare_batch=prepare,
        train_handlers=[LossHistory(folder / "losses.csv")],
    ).run()
    return load_losses(folder / "losses.csv")


def calibrate(network, folder, method):
    """Calibrate in an engine that does nothing but apply the network."""

    @torch.no_grad()
    def step(engine, batch):
        return network.eval()(batch["image"]), batch["label"]

    engine = Engine(step)
    path = folder / f"calibration_{method}.json"
    ConformalCalibration(ALPHA, network, path, method).attach(engine)
    engine.run(DataLoader(Dataset(CALIBRATION), batch_size=8))
    save_weights(network, folder / f"model_{method}.pt")
    return engine.state.calibration


def evaluate(network, path):
    """Evaluate the saved calibration by the host's evaluator."""
    evaluator = SupervisedEvaluator(
        device=CPU,
        val_data_loader=DataLoader(Dataset(TEST, EnsureTyped(["image", "label"])), batch_size=8),
        network=network,
        inferer=AdaptiveInferer(),
        postprocessing=ConformalMaskd("pred", path),
        key_val_metric={"coverage": Coverage(output_transform=PAIR)},
        additional_metrics={"gap": CoverageGap(ALPHA, output_transform=PAIR)},
    )
    evaluator.run()
    return evaluator.state.metrics


@pytest.mark.parametrize("through", ["network", "scorer"])
def test_trained_calibrated_and_evaluated_by_the_host(tmp_path, through):
    networks = make_networks()
    before = {name: value.clone() for name, value in networks["coat"].segmenter.state_dict().items()}
    losses = train(networks["coat"], tmp_path, through)
    assert len(losses) == 15
    assert losses[-1] < 0.75 * losses[0]
    assert all(torch.equal(v, before[k]) for k, v in networks["coat"].segmenter.state_dict().items())

    labels = [sample["label"] for sample in CALIBRATION]
    for method, network in networks.items():
        result = calibrate(network, tmp_path, method)
        with torch.no_grad():
            scores = [network(sample["image"][None])[0] for sample in CALIBRATION]
        # Batched and single convolutions may differ in the last bit.
        assert result.cutoff == pytest.approx(calibrate_maps(scores, labels, ALPHA).cutoff, abs=1e-5)
        assert result == load_calibration(tmp_path / f"calibration_{method}.json")
        assert (result.n, result.method) == ((50,), method)

    loaded = load_calibrated(make_networks(), tmp_path, ALPHA)
    found = {method: evaluate(network, tmp_path / f"calibration_{method}.json") for method, network in loaded.items()}
    # Of 50 test images after 50 calibration images, 1 - alpha on average over both draws: far below is a fault.
    assert all(metrics["coverage"] > 0.78 for metrics in found.values())
    # What it is for: images closer to their target than one threshold for all can bring them.
    assert found["coat"]["gap"] < 0.8 * found["crc"]["gap"]
    check_that_records_agree(loaded["coat"], found["coat"])


def check_that_records_agree(network, metrics):
    """The network's own prediction sets are the masks of the artifact."""
    evaluator = SupervisedEvaluator(
        device=CPU,
        val_data_loader=DataLoader(Dataset(TEST), batch_size=8),
        network=network,
        inferer=AdaptiveInferer(),
        val_handlers=[ImageRecords(PAIR)],
    )
    evaluator.run()
    records = evaluator.state.records
    assert sum(r.coverage for r in records) / len(records) == pytest.approx(metrics["coverage"], abs=1e-6)
    assert sum(abs(r.coverage - 1 + ALPHA) for r in records) / len(records) == pytest.approx(metrics["gap"], abs=1e-6)
