# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Collection of a statistic into a file: for sites that are too small alone, or whose images must not be joined."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch.distributed as dist
from ignite.engine import Engine, Events
from torch import nn

from monai_coat.calibration import (
    BinnedStatistic,
    CollectedStatistic,
    Statistic,
    gather_statistic,
    identity_of,
    save_statistic,
)
from monai_coat.handlers._intake import ScoreIntake
from monai_coat.networks import unwrap_adaptive_segmenter

__all__ = ["CollectStatistic"]


class CollectStatistic:
    """Collect scores and labels while an engine runs, and write their statistic when its epoch is over.

    It is left in ``engine.state.collected`` too, a :class:`~monai_coat.calibration.CollectedStatistic`.
    The files of several sites are merged and calibrated by ``python -m monai_coat merge``, or by
    :func:`~monai_coat.calibration.merge_statistics`. Workers of a process group write one file together.

    Args:
        path: file to write.
        statistic: an empty statistic that says what is kept; by default a
            :class:`~monai_coat.calibration.BinnedStatistic` for margins and probabilities, which holds sums over images
            alone and may be given away. A :class:`~monai_coat.calibration.CoverageStatistic` is exact, and holds
            foreground scores.
        network: network that made the scores; its identity keeps files of different networks apart.
        method: name of the scorer.
        output_transform: takes ``(scores, labels)`` out of the engine's output, see
            :class:`~monai_coat.handlers.ConformalCalibration`.
        smallest: fewest images of a class in a file of sums.
        pipeline: what stands around the network, see :class:`~monai_coat.handlers.ConformalCalibration`.

    Raises:
        TypeError: if ``network`` is not an :class:`~monai_coat.networks.AdaptiveSegmenter`.
        ValueError: if the statistic is not empty; when the epoch is over, if there are fewer images than ``smallest``,
            all scores are 0 or 1, which are masks, or they are not what the network gave.

    Example:
        >>> import torch
        >>> engine = Engine(lambda engine, batch: batch)
        >>> CollectStatistic(getfixture("tmp_path") / "north.npz").attach(engine)
        >>> state = engine.run([(torch.rand(12, 1, 8, 8), torch.ones(12, 1, 8, 8))])
        >>> state.statistic.n
        (12,)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        statistic: Statistic | None = None,
        network: nn.Module | None = None,
        method: str = "",
        output_transform: Callable[[Any], Any] = lambda output: output,
        smallest: int = 10,
        pipeline: Mapping[str, object] | None = None,
    ) -> None:
        self.empty = BinnedStatistic() if statistic is None else statistic
        if self.empty.n:
            raise ValueError(f"statistic must be empty, got one of {self.empty.n} images; make a new one.")
        self.path, self.method, self.smallest, self.pipeline = path, method, smallest, pipeline
        self.network = unwrap_adaptive_segmenter(network) if network is not None else None
        self.output_transform = output_transform
        self.collected = CollectedStatistic(copy.deepcopy(self.empty), method=method)
        self.intake = ScoreIntake(self.network)

    def attach(self, engine: Engine, event: Any = Events.ITERATION_COMPLETED) -> None:
        """Listen to an engine.

        Args:
            engine: any engine that goes over the calibration images, once; no trainer, whose weights move.
            event: when its output holds scores. After an iteration, MONAI's postprocessing may have cut them; with
                ``monai.engines.IterationEvents.FORWARD_COMPLETED`` they are what the network gave.

        Raises:
            TypeError: if ``engine`` is none.
            ValueError: if it trains, or has this handler already.
        """
        self.intake.attach(engine, self.started)
        engine.add_event_handler(Events.EPOCH_STARTED, self.started)
        engine.add_event_handler(event, self.iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)

    def started(self, engine: Engine) -> None:
        """Begin anew, with the network in evaluation mode."""
        self.intake.start()
        identity = identity_of(self.network, self.pipeline)
        self.collected = CollectedStatistic(copy.deepcopy(self.empty), identity, self.method)

    def iteration_completed(self, engine: Engine) -> None:
        """Take in the engine's output.

        Raises:
            RuntimeError: if the network is in training mode.
        """
        for scores, labels in self.intake.pairs(engine, self.output_transform):
            self.collected.update(scores, labels)

    def epoch_completed(self, engine: Engine) -> None:
        """Write the file."""
        self.intake.finish()
        gathered = gather_statistic(self.collected)
        if not dist.is_initialized() or dist.get_rank() == 0:
            save_statistic(gathered, self.path, self.smallest)
        engine.state.collected = gathered  # type: ignore[attr-defined]
        engine.state.statistic = gathered.statistic  # type: ignore[attr-defined]
