# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The training loss, epoch by epoch, in a file that survives the run."""

from __future__ import annotations

import csv
import logging
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.utils import CommonKeys
from torch import Tensor

from monai_coat.files import replacing

__all__ = ["LossHistory", "load_losses"]


class LossHistory:
    """Log the mean loss of each epoch and write it to a CSV file with the columns epoch and loss.

    A resumed run goes on in the file. Attach it before :class:`~monai_coat.handlers.ResumeCheckpoint`: no epoch that
    counts as done is then without its line.

    Args:
        path: file to write.
        output_transform: takes the loss out of the trainer's output; by default out of a MONAI trainer's, with
            decollating or without.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        output_transform: Callable[[Any], Any] = lambda output: (output if isinstance(output, Mapping) else output[0])[
            CommonKeys.LOSS
        ],
    ) -> None:
        self.path, self.output_transform = Path(path), output_transform
        self.logger = logging.getLogger(__name__)
        self._losses: list[float] = []

    def attach(self, engine: Engine) -> None:
        """Listen to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _started(self, engine: Engine) -> None:
        self._losses = []

    def _collect(self, engine: Engine) -> None:
        loss = self.output_transform(engine.state.output)
        self._losses.append(float(loss.detach() if isinstance(loss, Tensor) else loss))

    def _write(self, engine: Engine) -> None:
        mean = math.fsum(self._losses) / len(self._losses)
        self.logger.info("epoch %d of %d: loss %.5f", engine.state.epoch, engine.state.max_epochs or 0, mean)
        if dist.is_initialized() and dist.get_rank() > 0:
            return
        # Epochs that were trained but not saved when a run was killed are trained again and written again.
        losses = [*load_losses(self.path)[: engine.state.epoch - 1], mean] if self.path.is_file() else [mean]
        with replacing(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", "loss"])
            writer.writerows(enumerate(losses, 1))


def load_losses(path: str | os.PathLike[str]) -> list[float]:
    """Losses per epoch of a file that :class:`LossHistory` wrote; none if there is no such file.

    Raises:
        ValueError: if the file holds something else.
    """
    if not Path(path).is_file():
        return []
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            return [float(row["loss"]) for row in csv.DictReader(file)]
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise ValueError(
            f"path must name a file of losses, got {path}, which is none ({error}); remove it, or name another file."
        ) from None
