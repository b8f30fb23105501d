# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A training with random batches and transforms that is resumed draws what an undisturbed one draws."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, RandAdjustContrastd, RandAffined, RandGaussianNoised
from monai.utils import set_determinism

from monai_coat.handlers import ResumeCheckpoint


def seen_by(folder, epochs, workers=0):
    """Sums of the batches of each epoch that is run, and numbers drawn in the loop."""
    set_determinism(0)
    samples = [{"image": torch.full((1, 8, 8), float(number))} for number in range(6)]
    noise = [
        RandGaussianNoised("image", 0.5),
        RandAdjustContrastd("image", 0.5),
        RandAffined("image", prob=0.7, rotate_range=1.0),
    ]
    dataset = CacheDataset(samples, Compose(noise), progress=False)
    loader = DataLoader(dataset, batch_size=2, shuffle=True, num_workers=workers)
    found = []

    def step(engine, batch):
        drawn = (float(torch.rand(1)), float(np.random.rand()), np.random.randn(), random.gauss(0, 1))
        found.append((engine.state.epoch, float(batch["image"].sum()), *drawn))

    trainer, network = Engine(step), torch.nn.Linear(1, 1)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: torch.rand(3))  # a validation that draws
    ResumeCheckpoint(folder, {"network": network}, interval=2).attach(trainer)
    trainer.run(loader, max_epochs=epochs)
    set_determinism(None)
    return found


@pytest.mark.parametrize("workers", [0, 1])
def test_a_resumed_run_draws_what_an_undisturbed_one_draws(tmp_path, workers):
    whole = seen_by(tmp_path / "whole", 6, workers)
    assert len({row[1] for row in whole}) > 12
    seen_by(tmp_path / "resumed", 4, workers)
    assert seen_by(tmp_path / "resumed", 6, workers) == [row for row in whole if row[0] > 4]
