# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the handlers that calibrate do before a score counts."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer, Trainer
from torch import nn

from monai_coat.handlers import CollectStatistic, ConformalCalibration, ImageRecords
from monai_coat.networks import AdaptiveSegmenter


@pytest.fixture(params=["calibration", "collection"])
def handler_of(request, tmp_path):
    def make(network=None):
        if request.param == "calibration":
            return ConformalCalibration(0.2, network)
        return CollectStatistic(tmp_path / "c.npz", network=network)

    return make


def test_a_failed_run_leaves_nothing_on_the_network(handler_of):
    network = AdaptiveSegmenter(nn.Identity())
    engine = Engine(lambda engine, batch: (network(batch), torch.full_like(batch, torch.nan)))
    handler_of(network).attach(engine)
    with pytest.raises(ValueError, match="labels must hold only 0 and 1"):
        engine.run([torch.randn(12, 1, 8, 8)])
    assert not network.scorer._forward_hooks


def images(n=12):
    return [(torch.rand(n, 1, 4, 4), torch.ones(n, 1, 4, 4))]


@pytest.mark.parametrize("kind", [SupervisedTrainer, Trainer])
def test_a_trainer_is_refused_since_its_weights_move(kind, handler_of):
    network = nn.Conv2d(1, 1, 1)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    settings = (network, optimizer, nn.MSELoss()) if kind is SupervisedTrainer else ()
    trainer = kind(torch.device("cpu"), 1, images(), *settings)
    with pytest.raises(
        ValueError, match=r"engine must be an evaluator, got .*Trainer, whose weights move .*; attach to"
    ):
        handler_of().attach(trainer)


@pytest.mark.parametrize("events", [("a", "a"), ("a", "b")])
def test_a_second_attachment_is_refused_and_nothing_counts_twice(events, handler_of):
    both = {"a": Events.ITERATION_COMPLETED, "b": Events.ITERATION_COMPLETED(every=1)}
    engine, handler = Engine(lambda engine, batch: batch), handler_of()
    handler.attach(engine, both[events[0]])
    with pytest.raises(ValueError, match=r"engine must have each handler once, got one that it has already"):
        handler.attach(engine, both[events[1]])
    engine.run(images())
    assert getattr(handler, "statistic", None) is None or handler.statistic.n == (12,)


def test_two_handlers_and_two_engines_are_no_matter(tmp_path):
    handlers = ConformalCalibration(0.2), ConformalCalibration(0.3)
    for engine in (Engine(lambda engine, batch: batch), Engine(lambda engine, batch: batch)):
        for handler in handlers:
            handler.attach(engine)
        assert engine.run(images()).calibration.n == (12,)


def test_images_are_recorded_once():
    engine, records = Engine(lambda engine, batch: batch), ImageRecords()
    records.attach(engine)
    with pytest.raises(ValueError, match="engine must have each handler once"):
        records.attach(engine)


@pytest.mark.parametrize("model", [nn.Conv2d(1, 1, 1), None, [1]])
@pytest.mark.parametrize("kind", [lambda: ConformalCalibration(0.2), ImageRecords, lambda: CollectStatistic("c.npz")])
def test_what_is_no_engine_is_refused(kind, model):
    with pytest.raises(TypeError, match=r"engine must be an ignite Engine, .*, got .*; the network is an argument"):
        kind().attach(model)
