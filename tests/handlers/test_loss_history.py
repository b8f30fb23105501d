# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import logging
import os

import pytest
import torch
from ignite.engine import Engine, Events

from monai_coat.handlers import LossHistory, load_losses


def train(path, losses, epochs, start=0):
    """Train from epoch ``start`` on; the losses of a batch grow by 1 from epoch to epoch."""
    engine = Engine(lambda engine, batch: {"loss": batch + engine.state.epoch})
    history = LossHistory(path, output_transform=lambda output: output["loss"])
    history.attach(engine)

    @engine.on(Events.STARTED)
    def resume(engine):
        engine.state.epoch = start
        engine.state.iteration = start * len(losses)

    engine.run(losses, max_epochs=epochs)
    return history


def test_the_mean_of_every_epoch(tmp_path):
    train(tmp_path / "deep" / "coat.csv", [0.5, 0.0, 0.1], epochs=3)
    assert load_losses(tmp_path / "deep" / "coat.csv") == pytest.approx([1.2, 2.2, 3.2])
    assert (tmp_path / "deep" / "coat.csv").read_text().splitlines()[0] == "epoch,loss"
    assert [line.split(",")[0] for line in (tmp_path / "deep" / "coat.csv").read_text().splitlines()[1:]] == list("123")
    assert os.listdir(tmp_path / "deep") == ["coat.csv"]


def test_a_resumed_run_goes_on_and_writes_lost_epochs_again(tmp_path):
    path = tmp_path / "coat.csv"
    train(path, [0.0], epochs=4)
    train(path, [0.5], epochs=6, start=3)
    assert load_losses(path) == [1.0, 2.0, 3.0, 4.5, 5.5, 6.5]


def test_a_run_from_the_start_replaces_the_old_one(tmp_path):
    path = tmp_path / "coat.csv"
    train(path, [0.0], epochs=4)
    train(path, [0.5], epochs=2)
    assert load_losses(path) == [1.5, 2.5]


def test_an_epoch_cut_short_does_not_count_in_the_next(tmp_path):
    path, calls = tmp_path / "coat.csv", []

    def step(engine, batch):
        calls.append(batch)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return batch

    engine = Engine(step)
    LossHistory(path, output_transform=float).attach(engine)
    with pytest.raises(KeyboardInterrupt):
        engine.run([8.0, 1.0, 3.0])
    engine.state.max_epochs = None  # begin anew, as after an interrupt in a notebook
    engine.run([1.0, 2.0, 3.0], max_epochs=1)
    assert load_losses(path) == [2.0]


def test_it_logs_every_epoch(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="monai_coat"):
        train(tmp_path / "coat.csv", [0.25], epochs=2)
    found = [r.getMessage() for r in caplog.records if r.name.startswith("monai_coat")]
    assert found == ["epoch 1 of 2: loss 1.25000", "epoch 2 of 2: loss 2.25000"]


def test_no_file_no_losses(tmp_path):
    assert load_losses(tmp_path / "none.csv") == []


@pytest.mark.parametrize("decollate", [True, False])
def test_a_trainers_output_is_understood_decollated_or_not(tmp_path, decollate):
    loss = torch.tensor(0.25, requires_grad=True) * 2
    engine = Engine(lambda engine, batch: [{"loss": loss}, {"loss": loss}] if decollate else {"loss": loss})
    LossHistory(tmp_path / "losses.csv").attach(engine)
    engine.run([0, 1])
    assert load_losses(tmp_path / "losses.csv") == [0.5]
