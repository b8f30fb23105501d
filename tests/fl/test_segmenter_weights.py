# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One bundle trains a segmenter and evaluates it with its scorer, in MONAI's own federated client."""

from __future__ import annotations

import json

import pytest
import torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import WeightType
from monai.fl.utils.exchange_object import ExchangeObject

from monai_coat.fl import SegmenterWeights
from monai_coat.networks import AdaptiveSegmenter
from tests.fl.sites import COMMON, images, segmenter, write_site

METRIC = {"_target_": "monai_coat.handlers.Coverage", "cutoff": 0.5, "output_transform": "@pred_and_label"}
TRAINER = {
    "_target_": "SupervisedTrainer",
    "device": "@device",
    "max_epochs": 1,
    "train_data_loader": "@dataloader",
    "network": "@segmenter",
    "optimizer": "$torch.optim.SGD(@segmenter.parameters(), 0.1)",
    "loss_function": "$torch.nn.BCEWithLogitsLoss()",
}


@pytest.fixture
def make_client(tmp_path):
    def make(filters):
        metric = {"key_val_metric": {"coverage": METRIC}}
        folder = write_site(
            tmp_path / "site", 1, initialize=[], evaluator={**COMMON["evaluator"], **metric}, handlers=[]
        )
        config = json.loads((folder / "configs" / "collect.json").read_text())
        train = {**config, "train": {"trainer": TRAINER}, "validate": {"evaluator": "@evaluator"}}
        (folder / "configs" / "train.json").write_text(json.dumps(train))
        (folder / "configs" / "filters.json").write_text(json.dumps({"pre_filters": filters}))
        client = MonaiAlgo(
            str(folder),
            config_evaluate_filename="configs/train.json",
            config_filters_filename="configs/filters.json",
            send_weight_diff=False,
        )
        client.initialize()
        return client

    return make


def weights(seed):
    return ExchangeObject(weights=dict(segmenter(seed).state_dict()), weight_type=WeightType.WEIGHTS)


def coverage(seed):
    samples = images(1)
    network = AdaptiveSegmenter(segmenter(seed)).eval()
    scores = network(torch.stack([sample["image"] for sample in samples]))
    labels = torch.stack([sample["label"] for sample in samples]) > 0
    return float((((scores >= 0.5) & labels).sum((1, 2, 3)) / labels.sum((1, 2, 3))).double().mean())


def test_the_evaluator_has_the_global_weights(make_client):
    client = make_client([{"_target_": "monai_coat.fl.SegmenterWeights"}])
    for seed in (1, 2):
        metrics = client.evaluate(weights(seed)).metrics
        assert metrics["coverage"] == pytest.approx(coverage(seed), abs=1e-6)
        assert torch.equal(client.evaluator.network.segmenter.weight, segmenter(seed).weight)
    assert coverage(1) != pytest.approx(coverage(2), abs=1e-3)


def test_the_trainer_takes_them_as_before(make_client):
    client = make_client([{"_target_": "monai_coat.fl.SegmenterWeights"}])
    client.train(weights(1), extra={})
    sent = client.get_weights().weights
    assert set(sent) == {"weight", "bias"}
    assert not torch.equal(sent["weight"], segmenter(1).weight)
    assert torch.allclose(sent["weight"], segmenter(1).weight, atol=0.5)


def test_without_it_nothing_is_converted(make_client):
    client = make_client([])
    with pytest.raises(RuntimeError, match="No global weights converted"):
        client.evaluate(weights(1))


def test_a_network_with_other_weights_is_no_longer_calibrated(make_client):
    client = make_client([{"_target_": "monai_coat.fl.SegmenterWeights"}])
    client.evaluate(weights(1))
    client.evaluator.network.set_calibration((0.5,), alpha=0.1, n=(99,))
    client.evaluate(weights(1))
    assert client.evaluator.network.require_calibration() == torch.tensor([0.5])
    client.evaluate(weights(2))
    with pytest.raises(RuntimeError, match="weights or settings have changed since"):
        client.evaluator.network.require_calibration()


def test_nothing_else_is_changed():
    data = ExchangeObject({"a": torch.ones(1), "segmenter.b": torch.zeros(1)}, metrics={"x": 1}, statistics={"n": 2})
    data["round"] = 3
    named = SegmenterWeights()(data)
    assert named["round"] == 3
    assert set(named.weights) == {"a", "segmenter.a", "segmenter.b"}
    assert (named.metrics, named.statistics, set(data.weights)) == ({"x": 1}, {"n": 2}, {"a", "segmenter.b"})
