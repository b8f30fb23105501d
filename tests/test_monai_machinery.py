# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Our pieces in MONAI's machinery: caches, loaders, lazy resampling, engines, and what listens to them."""

from __future__ import annotations

import copy
import csv

import pytest
import torch
from ignite.engine import Events
from monai.data import (
    CacheDataset,
    DataLoader,
    Dataset,
    MetaTensor,
    PersistentDataset,
    SmartCacheDataset,
    ThreadDataLoader,
    decollate_batch,
)
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import MetricsSaver, TensorBoardStatsHandler, from_engine
from monai.inferers import SimpleInferer
from monai.transforms import Compose, EnsureTyped, Resized
from monai.utils import CommonKeys

from monai_coat.calibration import CalibrationResult, calibrate_maps
from monai_coat.functional import true_positive_rate
from monai_coat.handlers import ConformalCalibration, Coverage, CoverageGap, SetSize
from monai_coat.inferers import AdaptiveInferer
from monai_coat.losses import SoftTPRLoss
from monai_coat.scorers import MarginScorer, ThresholdPredictor
from monai_coat.transforms import ConformalMaskd, IdealThresholdd, MapSketchd, SegmenterProbsd


def samples(count=6, meta=True):
    generator = torch.Generator().manual_seed(0)
    found = []
    for index in range(count):
        image = torch.rand(3, 32, 32, generator=generator)
        label = (torch.rand(1, 32, 32, generator=generator) < 0.3).float()
        if meta:
            names = {"filename_or_obj": f"{index}.png"}
            image, label = MetaTensor(image, meta=names), MetaTensor(label, meta=dict(names))
        found.append({"image": image, "label": label})
    return found


@pytest.fixture
def network(make_network):
    torch.manual_seed(0)
    predictor = ThresholdPredictor(2, 3, backbone="none")
    return make_network(scorer=MarginScorer(predictor), cutoff=(-0.25,))


def pipeline(network):
    predictor = network.scorer.predictor
    return Compose(
        [SegmenterProbsd("image", network), IdealThresholdd("probs", alpha=0.1), MapSketchd("probs", predictor)]
    )


@pytest.mark.parametrize("kind", [CacheDataset, PersistentDataset])
@pytest.mark.parametrize("loader", [DataLoader, ThreadDataLoader])
def test_caches_and_loaders_hand_out_what_the_transforms_make(network, tmp_path, kind, loader):
    arguments = {"progress": False} if kind is CacheDataset else {"cache_dir": tmp_path}
    plain = list(Dataset(samples(), pipeline(network)))
    dataset = kind(samples(), pipeline(network), **arguments)
    for _ in range(2):  # the second time from the cache
        batches = list(loader(dataset, num_workers=0, batch_size=3))
        for key in ("image", "sketch", "label"):
            found = torch.cat([torch.as_tensor(batch[key]) for batch in batches])
            assert torch.equal(found, torch.stack([torch.as_tensor(item[key]) for item in plain])), key


def test_a_smart_cache_goes_round_all_images(network):
    plain = list(Dataset(samples(), pipeline(network)))
    dataset = SmartCacheDataset(
        samples(), pipeline(network), replace_rate=0.5, cache_num=4, progress=False, shuffle=False
    )
    dataset.start()
    seen = set()
    for _ in range(3):
        for item in dataset:
            match = [i for i, each in enumerate(plain) if torch.equal(each["sketch"], item["sketch"])]
            assert len(match) == 1
            assert torch.equal(plain[match[0]]["image"], item["image"])
            seen.update(match)
        dataset.update_cache()
    dataset.shutdown()
    assert seen == set(range(6))


def test_lazy_resampling_is_done_before_the_segmenter_looks(network):
    steps = [Resized(("image", "label"), (24, 20), mode=("bilinear", "nearest")), SegmenterProbsd("image", network)]
    eager, lazy = (Compose(steps, lazy=lazy)(samples(1)[0]) for lazy in (False, True))
    assert lazy["probs"].shape == (1, 24, 20)
    assert not lazy["image"].pending_operations
    torch.testing.assert_close(lazy["probs"].as_tensor(), eager["probs"].as_tensor(), atol=2e-2, rtol=0)


def evaluator(network, handlers=(), transform=None, **settings):
    loader = DataLoader(Dataset(samples(), transform), num_workers=0, batch_size=2)
    return SupervisedEvaluator(
        device=torch.device("cpu"), val_data_loader=loader, network=network, val_handlers=list(handlers), **settings
    )


def test_decollated_scores_are_cut_one_by_one(network):
    calibration = CalibrationResult((-0.25,), 0.1, (99,), (0,), (0.09,), "E[FNR] <= 0.1")
    engine = evaluator(
        network, inferer=AdaptiveInferer(), postprocessing=Compose([ConformalMaskd(CommonKeys.PRED, calibration)])
    )
    engine.run()
    outputs = engine.state.output
    assert [item["pred"].meta["filename_or_obj"] for item in outputs] == ["4.png", "5.png"]
    for item in outputs:
        expected = network.prediction_set(item["image"][None].as_tensor())[0]
        assert torch.equal(item["pred"].bool().as_tensor(), expected)
    assert len(decollate_batch({"threshold": network.thresholds(torch.rand(3, 3, 32, 32))})) == 3


@pytest.mark.parametrize("amp", [False, True])
def test_mixed_precision_calibrates_to_the_same_cutoff(network, amp):
    engine = evaluator(network, inferer=AdaptiveInferer(), amp=amp)
    ConformalCalibration(0.2, output_transform=from_engine(["pred", "label"])).attach(engine)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=amp):
        engine.run()
    items = samples()
    scores = [network(item["image"][None].as_tensor())[0] for item in items]
    assert engine.state.calibration == calibrate_maps(scores, [item["label"].as_tensor() for item in items], 0.2)


def test_a_compiled_network_in_the_engine_once_metadata_is_left_behind(network):
    """MONAI 1.6's engines cannot take batches with metadata with ``compile=True``; without it they can."""
    settings = {"compile": True, "compile_kwargs": {"backend": "eager", "dynamic": True}}
    plain = EnsureTyped(("image", "label"), track_meta=False)
    engine = evaluator(network, transform=plain, inferer=SimpleInferer(), **settings)
    ConformalCalibration(0.2, network, output_transform=from_engine(["pred", "label"])).attach(engine)
    engine.run()
    expected = evaluator(network, inferer=SimpleInferer())
    ConformalCalibration(0.2, output_transform=from_engine(["pred", "label"])).attach(expected)
    expected.run()
    assert engine.state.calibration.cutoff == expected.state.calibration.cutoff


def train(network, batch_size, accumulate):
    """One optimizer step over four images, in one batch or in several."""
    optimizer = torch.optim.SGD(network.scorer.parameters(), 1.0)
    loader = DataLoader(Dataset(samples(4)), num_workers=0, batch_size=batch_size)

    def accumulated(engine, batch):
        image, label = engine.prepare_batch(batch, engine.state.device)
        engine.network.train()
        loss = engine.loss_function(engine.inferer(image, engine.network), label) / accumulate
        loss.backward()
        if engine.state.iteration % accumulate == 0:
            engine.optimizer.step()
            engine.optimizer.zero_grad()
        return {"loss": loss.item()}

    SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=loader,
        network=network,
        optimizer=optimizer,
        loss_function=SoftTPRLoss(0.1, 0.2),
        iteration_update=accumulated,
        decollate=False,
    ).run()
    return network.scorer.state_dict()


def test_accumulated_gradients_are_those_of_one_batch(network):
    """Each image has the same weight in the loss, so that a mean of means over even batches is the mean."""
    one, two = train(copy.deepcopy(network), 4, 1), train(copy.deepcopy(network), 2, 2)
    start = network.scorer.state_dict()
    assert any(not torch.equal(one[name], start[name]) for name in start)
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-6, rtol=1e-5)


METRICS = ("gap", "coverage", "relative")


def metrics():
    pair = from_engine(["pred", "label"])
    return {
        "key_val_metric": {"gap": CoverageGap(0.1, -0.25, output_transform=pair)},
        "additional_metrics": {
            "coverage": Coverage(-0.25, output_transform=pair),
            "relative": SetSize(cutoff=-0.25, output_transform=pair),
        },
    }


def test_metrics_saver_writes_one_line_per_image(network, tmp_path):
    saver = MetricsSaver(
        str(tmp_path),
        metrics="*",
        metric_details="*",
        batch_transform=lambda batch: [item["image"].meta for item in batch],
        summary_ops="mean",
    )
    engine = evaluator(network, [saver], inferer=SimpleInferer(), **metrics())
    engine.run()
    for name in METRICS:
        with (tmp_path / f"{name}_raw.csv").open() as file:
            rows = list(csv.reader(file, delimiter="\t" if "\t" in (tmp_path / f"{name}_raw.csv").read_text() else ","))
        assert [row[0] for row in rows[1:]] == [f"{i}.png" for i in range(6)]
    with torch.no_grad():
        expected = [true_positive_rate(network(s["image"][None]), s["label"][None], -0.25) for s in samples()]
    assert engine.state.metrics["coverage"] == pytest.approx(float(torch.cat(expected).mean()))


def test_tensorboard_gets_every_metric(network, tmp_path):
    writer_folder = tmp_path / "events"
    handler = TensorBoardStatsHandler(log_dir=str(writer_folder), iteration_log=False)
    engine = evaluator(network, [handler], inferer=SimpleInferer(), **metrics())
    engine.run()
    handler.close()
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = events.EventAccumulator(str(writer_folder)).Reload()
    assert set(found.Tags()["scalars"]) == set(METRICS)
    assert found.Scalars("coverage")[0].value == pytest.approx(engine.state.metrics["coverage"], rel=1e-6)


@pytest.mark.filterwarnings("ignore")  # of its database's libraries
def test_mlflow_gets_every_metric(network, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    from monai.handlers import MLFlowHandler

    uri = f"sqlite:///{tmp_path}/runs.db"
    handler = MLFlowHandler(tracking_uri=uri, iteration_log=False, experiment_name="coat", run_name="one")
    engine = evaluator(network, [handler], inferer=SimpleInferer(), **metrics())
    engine.add_event_handler(Events.COMPLETED, lambda: None)
    engine.run()
    handler.close()
    runs = mlflow.MlflowClient(uri).search_runs(experiment_ids=["1"])
    assert set(METRICS) <= set(runs[0].data.metrics)
