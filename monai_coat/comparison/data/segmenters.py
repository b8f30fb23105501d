# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The segmenters of a comparison: trained with MONAI's trainer, and their maps kept.

Tested by tests/comparison/data/test_comparison_data.py.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedTrainer
from monai.handlers import LrScheduleHandler
from monai.losses import DiceCELoss
from monai.transforms import (
    Compose,
    RandAffined,
    RandFlipd,
    RandScaleIntensityd,
    RandShiftIntensityd,
)
from monai.utils import set_determinism
from torch import Tensor, nn

from monai_coat.comparison.data.images import Images
from monai_coat.comparison.protocol import Protocol
from monai_coat.files import replacing
from monai_coat.files.progress import Progress
from monai_coat.handlers import LossHistory, ResumeCheckpoint
from monai_coat.networks import load_weights, save_weights

__all__ = ["network_input", "train_segmenter", "write_logits"]

logger = logging.getLogger(__name__)
DEVICE = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


def train_segmenter(protocol: Protocol, network: str, train: Images, epochs: int, folder: Path) -> nn.Module:
    """Train a segmenter, or load what an earlier run trained; a killed run goes on from its last epoch.

    Args:
        protocol: what is compared.
        network: name of the network in it.
        train: images to train on.
        epochs: number of passes.
        folder: where weights, losses and checkpoints are kept.
    """
    set_determinism(protocol.seed)
    segmenter: nn.Module = ConfigParser(dict(protocol.networks[network])).get_parsed_content()
    path = folder / "segmenter.pt"
    if path.is_file():
        return load_weights(segmenter, path).to(DEVICE).eval()
    segmenter.to(DEVICE)
    trainer = _trainer(segmenter, protocol, train, epochs, folder)
    progress = Progress(epochs)
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED(every=-(-epochs // 10)),
        lambda engine: logger.info("segmenter %s: epoch %s", network, progress.after(engine.state.epoch)),
    )
    trainer.run()
    save_weights(segmenter, path)
    for checkpoint in (folder / "checkpoints").glob("*.pt"):
        checkpoint.unlink()
    return segmenter.eval()


def _trainer(segmenter: nn.Module, protocol: Protocol, train: Images, epochs: int, folder: Path) -> SupervisedTrainer:
    optimizer = torch.optim.AdamW(segmenter.parameters(), protocol.learning_rate, weight_decay=0.01)
    schedule: Any = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    samples: list[dict[str, Any]] = [
        {"image": network_input(image), "label": label.float()}
        for image, label in zip(train.image, train.label, strict=True)
    ]
    handlers: list[Any] = [LrScheduleHandler(schedule, print_lr=False), LossHistory(folder / "losses.csv")]
    trainer = SupervisedTrainer(
        device=DEVICE,
        max_epochs=epochs,
        train_data_loader=DataLoader(
            Dataset(samples, _augmentation()), batch_size=protocol.batch_size, shuffle=True, drop_last=True
        ),
        network=segmenter,
        optimizer=optimizer,
        loss_function=DiceCELoss(sigmoid=True),
        train_handlers=handlers,
        decollate=False,
        amp=torch.cuda.is_available(),
    )
    state = {"network": segmenter, "optimizer": optimizer, "schedule": schedule}
    ResumeCheckpoint(folder / "checkpoints", state, interval=5).attach(trainer)
    return trainer


def write_logits(segmenter: nn.Module, images: Images, path: Path) -> None:
    """Keep the logits ``(N, 1, H, W)`` of images in a NumPy file."""
    with torch.no_grad():
        parts = [segmenter(network_input(batch).to(DEVICE)).float().cpu() for batch in images.image.split(64)]
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, torch.cat(parts).numpy())


def network_input(images: Tensor) -> Tensor:
    """The numbers in [-1, 1] of 8-bit images."""
    return images.float() / 127.5 - 1


def _augmentation() -> Compose:
    both = ["image", "label"]
    return Compose(
        [
            RandFlipd(both, prob=0.5, spatial_axis=0),
            RandAffined(
                both,
                prob=0.8,
                rotate_range=3.14,
                scale_range=0.25,
                mode=["bilinear", "nearest"],
                padding_mode="border",
            ),
            RandScaleIntensityd("image", factors=0.2, prob=0.5),
            RandShiftIntensityd("image", offsets=0.2, prob=0.5),
        ]
    )
