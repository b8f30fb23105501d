# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A training run that may be killed at any moment: run as a script, it goes on in the folder that it is given."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.handlers import LrScheduleHandler
from torch import nn

from monai_coat.handlers import LossHistory, ResumeCheckpoint

EPOCHS, BATCHES = 6, 3


def train(folder, pause=0.0, interval=1, epochs=EPOCHS, on_iteration=None):
    """Train a small network, or go on with it; deterministic, with momentum and a schedule to be restored."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 1))
    images = torch.rand(BATCHES, 2, 1, 8, 8)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.7)
    saved = {"network": network, "optimizer": optimizer, "lr_scheduler": schedule}
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=[{"image": image, "label": 1 - image} for image in images],
        network=network,
        optimizer=optimizer,
        loss_function=nn.MSELoss(),
        train_handlers=[
            LrScheduleHandler(schedule, print_lr=False),
            LossHistory(folder / "losses.csv"),
            ResumeCheckpoint(folder / "checkpoints", saved, interval),
        ],
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED, on_iteration or (lambda engine: time.sleep(pause)))
    trainer.run()
    return trainer


if __name__ == "__main__":
    torch.set_num_threads(1)  # as the tests do: sums of several threads are rounded differently
    train(Path(sys.argv[1]), pause=0.2)
