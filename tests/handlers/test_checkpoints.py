# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from ignite.engine import Engine, Events
from monai.transforms import RandFlipd

from monai_coat.handlers import ResumeCheckpoint, load_losses
from monai_coat.losses import SoftTPRLoss
from tests.handlers import resumable_training
from tests.handlers.resumable_training import BATCHES, EPOCHS, train


class Killed(BaseException):
    """Nothing catches it."""


def killed_at(iteration):
    def kill(engine):
        if engine.state.iteration == iteration:
            raise Killed

    return kill


def counted(calls):
    return lambda engine: calls.append(engine.state.iteration)


def names(folder):
    return sorted(os.listdir(folder / "checkpoints"))


def same(one, other):
    """Whether two runs ended alike: weights, batch statistics, momentum and learning rate."""
    a, b = one.network.state_dict(), other.network.state_dict()
    rates = [trainer.optimizer.param_groups[0]["lr"] for trainer in (one, other)]
    momenta = [list(trainer.optimizer.state.values()) for trainer in (one, other)]
    moved = all(torch.equal(m["momentum_buffer"], n["momentum_buffer"]) for m, n in zip(*momenta, strict=True))
    return rates[0] == rates[1] and moved and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    return train(folder), load_losses(folder / "losses.csv")


def test_a_run_killed_by_the_system_goes_on(tmp_path, whole):
    folder = tmp_path / "killed"
    command = [sys.executable, resumable_training.__file__, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        limit = time.monotonic() + 120
        while not list((folder / "checkpoints").glob("checkpoint_epoch=[2-9].pt")):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < limit, "no second checkpoint in 120 s"
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    done = len(load_losses(folder / "losses.csv"))
    assert 2 <= done < EPOCHS
    calls = []
    resumed = train(folder, on_iteration=counted(calls))
    assert resumed.state.epoch == EPOCHS
    assert 0 < len(calls) <= (EPOCHS - 2) * BATCHES
    assert same(resumed, whole[0])
    assert load_losses(folder / "losses.csv") == whole[1]


# Iteration 1: before any checkpoint. 3 and 4: the end and the beginning of an epoch.
@pytest.mark.parametrize("iterations", [[1], [3], [4], [5, 8, 8, 17], [18]])
@pytest.mark.parametrize("interval", [1, 4])
def test_killed_runs_end_as_undisturbed_ones(tmp_path, whole, iterations, interval):
    for iteration in iterations:
        with pytest.raises(Killed):
            train(tmp_path / "killed", interval=interval, on_iteration=killed_at(iteration))
    resumed = train(tmp_path / "killed", interval=interval)
    assert resumed.state.epoch == EPOCHS
    assert resumed.state.iteration == EPOCHS * BATCHES
    assert same(resumed, whole[0])
    losses = load_losses(tmp_path / "killed" / "losses.csv")
    assert losses == whole[1]
    assert len(losses) == EPOCHS
    assert names(tmp_path / "killed") == [f"checkpoint_epoch={EPOCHS}.pt"]


@pytest.mark.parametrize("interval", [1, 4])
def test_a_finished_run_does_nothing_more(tmp_path, interval):
    first, calls = train(tmp_path, interval=interval), []
    (path,) = (tmp_path / "checkpoints").iterdir()
    before = path.read_bytes(), path.stat().st_mtime_ns, load_losses(tmp_path / "losses.csv")
    again = train(tmp_path, interval=interval, on_iteration=counted(calls))
    assert not calls
    assert again.state.epoch == EPOCHS
    assert same(again, first)
    assert (path.read_bytes(), path.stat().st_mtime_ns, load_losses(tmp_path / "losses.csv")) == before


def test_a_finished_run_can_be_prolonged(tmp_path, whole):
    train(tmp_path, epochs=EPOCHS - 2)
    calls = []
    assert same(train(tmp_path, on_iteration=counted(calls)), whole[0])
    assert len(calls) == 2 * BATCHES
    assert load_losses(tmp_path / "losses.csv") == whole[1]


def test_saves_are_as_far_apart_as_asked_for_and_the_last_epoch_is_saved(tmp_path):
    seen = []
    folder = tmp_path / "checkpoints"
    train(tmp_path, interval=4, on_iteration=lambda e: seen.append([p.name for p in folder.glob("*")]))
    found = [files for index, files in enumerate(seen) if index % BATCHES == 0]  # as each epoch begins
    assert found == [[]] * 4 + [["checkpoint_epoch=4.pt"]] * 2
    assert names(tmp_path) == ["checkpoint_epoch=6.pt"]


@pytest.mark.parametrize("moment", ["torch.save", "os.replace"])
def test_killed_while_saving_the_last_whole_checkpoint_is_there(tmp_path, whole, monkeypatch, moment):
    folder, calls = tmp_path / "killed", []
    real = {"torch.save": torch.save, "os.replace": os.replace}[moment]

    def broken(content, file):
        if str(file).find("checkpoint_epoch") >= 0:
            calls.append(file)
            if len(calls) == 3:
                if moment == "torch.save":
                    file.write(b"half of a checkpoint")
                assert names(folder)[-1] == "checkpoint_epoch=2.pt"  # the old one is there until the end
                raise Killed
        return real(content, file)

    monkeypatch.setattr(moment, broken)
    with pytest.raises(Killed):
        train(folder)
    monkeypatch.undo()
    assert names(folder) == ["checkpoint_epoch=2.pt"]
    torch.load(folder / "checkpoints" / "checkpoint_epoch=2.pt", weights_only=True)
    assert same(train(folder), whole[0])


def test_stray_temporary_files_are_ignored(tmp_path, whole):
    with pytest.raises(Killed):
        train(tmp_path / "killed", on_iteration=killed_at(8))
    for name in (".checkpoint_epoch=5.pt.123.tmp", "checkpoint_epoch=5.pt.tmp", "tmpabc", "other.pt"):
        (tmp_path / "killed" / "checkpoints" / name).write_bytes(b"half of a checkpoint")
    assert same(train(tmp_path / "killed"), whole[0])


def test_the_newest_is_the_one_of_the_largest_number(tmp_path):
    handler = ResumeCheckpoint(tmp_path / "none", {})
    assert handler.latest() is None
    for epoch in (9, 10, 2):
        (tmp_path / f"checkpoint_epoch={epoch}.pt").touch()
    assert ResumeCheckpoint(str(tmp_path), {}).latest() == tmp_path / "checkpoint_epoch=10.pt"


def test_checkpoints_are_the_hosts(tmp_path):
    train(tmp_path)
    content = torch.load(tmp_path / "checkpoints" / f"checkpoint_epoch={EPOCHS}.pt", weights_only=True)
    assert set(content) == {"network", "optimizer", "lr_scheduler", "trainer", "random"}


@pytest.mark.parametrize("interval", [0, -1])
def test_impossible_intervals_are_refused(tmp_path, interval):
    with pytest.raises(ValueError, match=rf"interval must be at least 1 epoch, got {interval}"):
        ResumeCheckpoint(tmp_path, {}, interval)


SETTINGS = {"alpha": 0.1, "loss": SoftTPRLoss(0.1), "transforms": [RandFlipd("image", 0.5)], "files": [("a.png", 3, 7)]}
CHANGED = {
    "alpha": 0.2,
    "loss": SoftTPRLoss(0.1, 0.3),
    "transforms": [RandFlipd("image", 0.4)],
    "files": [("a.png", 3, 8)],
}


def ended(folder, settings, max_epochs=2):
    """Whether a training of a weight ran, and how many epochs it took to."""
    network, trainer = torch.nn.Linear(1, 1), Engine(lambda engine, batch: None)
    ResumeCheckpoint(folder, {"network": network}, settings=settings).attach(trainer)
    epochs = []
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda engine: epochs.append(engine.state.epoch))
    trainer.run([0], max_epochs=max_epochs)
    return epochs


def test_checkpoints_of_the_same_settings_are_gone_on_with(tmp_path):
    assert ended(tmp_path, SETTINGS) == [1, 2]
    assert ended(tmp_path, dict(SETTINGS), 3) == [3]


@pytest.mark.parametrize("name", CHANGED)
def test_checkpoints_of_other_settings_are_refused_by_name(tmp_path, name):
    ended(tmp_path, SETTINGS)
    kept = sorted(path.read_bytes() for path in tmp_path.iterdir())
    with pytest.raises(
        ValueError, match=rf"must be of this training, got others in .*: {name} changed since; train into"
    ):
        ended(tmp_path, {**SETTINGS, name: CHANGED[name]})
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == kept


def test_checkpoints_that_do_not_say_their_settings_are_refused(tmp_path):
    ended(tmp_path, None)
    with pytest.raises(ValueError, match="alpha, files, loss, transforms changed since"):
        ended(tmp_path, SETTINGS)
    assert ended(tmp_path, None, 3) == [3]
