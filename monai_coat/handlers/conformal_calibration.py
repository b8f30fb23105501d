# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Calibration as a handler: any engine that goes once over the calibration set can carry it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch.distributed as dist
from ignite.engine import Engine, Events
from torch import nn

from monai_coat.calibration import (
    ConformalRisk,
    calibrate_risk,
    check_calibration_fits,
    fingerprint,
    gather_statistic,
    save_calibration,
    statistic_of_risk,
)
from monai_coat.functional import exact_level
from monai_coat.handlers._pairs import batches
from monai_coat.networks import AdaptiveSegmenter, unwrap_adaptive_segmenter

__all__ = ["ConformalCalibration"]


class ConformalCalibration:
    """Collect scores and labels while an engine runs, and calibrate when its epoch is over.

    The result is left in ``engine.state.calibration``, in the buffers of ``network`` and in a JSON artifact, as far as
    these are given. Workers of a process group calibrate together, each image counted once, and an uneven or empty
    shard is no matter; the first of them writes the artifact. If it fails, network and artifact stay as they were.

    Args:
        alpha: tolerated mean false negative rate, in (0, 1).
        network: network that made the scores, bare or wrapped for data parallelism; receives the calibration.
        path: JSON artifact to write.
        method: name of the scorer, for the artifact.
        risk: one of :class:`~monai_coat.calibration.ConformalRisk`. A calibration of false alarms goes to the artifact
            alone: the network's buffers are for its prediction set.
        output_transform: takes ``(scores, labels)`` out of the engine's output: two batches ``(B, C, *spatial)`` or two
            lists of maps ``(C, *spatial)``, whose sizes may differ. For MONAI's engines
            ``monai.handlers.from_engine(["pred", "label"])``.

    Raises:
        TypeError: if ``network`` is not an :class:`~monai_coat.networks.AdaptiveSegmenter`.
        ValueError: if ``alpha`` is no level, or ``risk`` is unknown; when the epoch is over, if there are too few
            images for it, or scores of more or fewer classes than the network has.

    Example:
        >>> import torch
        >>> engine = Engine(lambda engine, batch: batch)
        >>> ConformalCalibration(alpha=0.5).attach(engine)
        >>> state = engine.run([(torch.tensor([[[0.2, 0.8]], [[0.4, 0.9]]]), torch.ones(2, 1, 2))])
        >>> state.calibration.n
        (2,)
    """

    def __init__(
        self,
        alpha: float,
        network: nn.Module | None = None,
        path: str | os.PathLike[str] | None = None,
        method: str = "",
        risk: ConformalRisk | str = ConformalRisk.MISS,
        output_transform: Callable[[Any], Any] = lambda output: output,
    ) -> None:
        exact_level(alpha)
        self.alpha, self.path, self.method = float(alpha), path, method
        self.network: AdaptiveSegmenter | None = unwrap_adaptive_segmenter(network) if network is not None else None
        self.risk, self.output_transform = risk, output_transform
        self.statistic = statistic_of_risk(risk)

    def attach(self, engine: Engine) -> None:
        """Listen to an engine."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)

    def started(self, engine: Engine) -> None:
        """Begin anew."""
        self.statistic = statistic_of_risk(self.risk)

    def iteration_completed(self, engine: Engine) -> None:
        """Take in the engine's output."""
        for scores, labels in batches(self.output_transform(engine.state.output)):
            self.statistic.update(scores, labels)

    def epoch_completed(self, engine: Engine) -> None:
        """Calibrate, and leave the result where it was asked for."""
        result = calibrate_risk(gather_statistic(self.statistic), self.alpha, self.risk)
        result = replace(result, method=self.method)
        if self.network is not None:
            check_calibration_fits(result, classes=self.network.num_classes)
            result = replace(result, network=fingerprint(self.network))
        if self.path is not None and (not dist.is_initialized() or dist.get_rank() == 0):
            save_calibration(result, self.path)
        if self.network is not None and result.controls != ConformalRisk.FALSE_ALARM:
            self.network.set_calibration(result.cutoff, result.alpha, result.n)
        engine.state.calibration = result  # type: ignore[attr-defined]
