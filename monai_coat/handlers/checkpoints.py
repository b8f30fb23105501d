# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Checkpoints from which a killed run resumes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from monai.handlers import CheckpointLoader

from monai_coat.calibration import identity_of
from monai_coat.files import read_json, write_json
from monai_coat.handlers.random_states import RandomStates
from monai_coat.networks.weights import save_whole

__all__ = ["ResumeCheckpoint"]

SETTINGS = "settings.json"
_REMEDY = "train into another output_dir, or remove this folder"


class ResumeCheckpoint:
    """Save everything after each epoch, and go on from the last save when the run is started again.

    A checkpoint is written beside its place and renamed, and the one before is removed after that: being killed at any
    moment leaves the last whole one. (MONAI's ``CheckpointSaver`` removes first, and writes in place.) MONAI's
    ``CheckpointLoader`` reads it. A run that had ended does nothing more.

    Args:
        save_dir: folder of the checkpoints.
        save_dict: objects with ``state_dict`` by name: network, optimizer, scheduler. The trainer is added, and the
            states of random numbers: a run that goes on ends as an undisturbed one, to the bit, if this handler is
            attached after those that draw, such as a validation.
        interval: epochs between saves; the last epoch is saved in any case.
        settings: what the training depends on, by name: loss, rates, transforms, files (see
            :func:`~monai_coat.data.file_stamps`). Their digests are kept beside the checkpoints, and a run with others
            does not go on with these.

    Raises:
        ValueError: if ``interval`` is not positive; when a run starts, if the checkpoints are of another training.
    """

    def __init__(
        self,
        save_dir: str | os.PathLike[str],
        save_dict: Mapping[str, Any],
        interval: int = 1,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        if interval < 1:
            raise ValueError(f"interval must be at least 1 epoch, got {interval}.")
        self.save_dir, self.save_dict, self.interval = Path(save_dir), dict(save_dict), interval
        # Now, as objects may change while they are used: random transforms do.
        self.settings = identity_of(None, settings).pipeline if settings is not None else None

    def latest(self) -> Path | None:
        """The newest checkpoint, or None."""
        epochs = {int(path.stem.rpartition("=")[2]): path for path in self.save_dir.glob("checkpoint_epoch=*.pt")}
        return epochs[max(epochs)] if epochs else None

    def attach(self, engine: Engine) -> None:
        """Save after epochs of this engine, and load what there is when it starts."""
        self.save_dict |= {"trainer": engine, "random": RandomStates(engine)}
        engine.add_event_handler(Events.STARTED, self._load)
        saver = Checkpoint(self.save_dict, self._write, score_function=_epoch, score_name="epoch", n_saved=None)
        engine.add_event_handler(Events.EPOCH_COMPLETED(event_filter=self._is_due), saver)

    def _is_due(self, engine: Engine, epoch: int) -> bool:
        return epoch % self.interval == 0 or epoch == engine.state.max_epochs

    def _write(self, checkpoint: Mapping[str, Any], filename: str, metadata: Mapping[str, Any] | None = None) -> None:
        if dist.is_initialized() and dist.get_rank() > 0:
            return
        if self.settings is not None:
            write_json(self.save_dir / SETTINGS, dict(self.settings))
        older = [path for path in self.save_dir.glob("checkpoint_epoch=*.pt") if path.name != filename]
        save_whole(checkpoint, self.save_dir / filename)
        for path in older:
            path.unlink()

    def _load(self, engine: Engine) -> None:
        path = self.latest()
        if path is not None:
            self._check_settings()
            # What map_location takes is torch.load's affair; the host's annotation knows one kind of it.
            load = CheckpointLoader(str(path), self.save_dict, map_location="cpu")  # type: ignore[arg-type]
            load(engine)
            engine.logger.info("resuming after epoch %d from %s", engine.state.epoch, path)

    def _check_settings(self) -> None:
        if self.settings is None:
            return
        path = self.save_dir / SETTINGS
        kept = read_json(path, "settings of the checkpoints", _REMEDY) if path.is_file() else {}
        others = sorted(name for name in {*kept, *self.settings} if kept.get(name) != self.settings.get(name))
        if others:
            raise ValueError(
                f"checkpoints must be of this training, got others in {self.save_dir}: {', '.join(others)} changed "
                f"since; {_REMEDY}."
            )


def _epoch(engine: Engine) -> int:
    return engine.state.epoch
