# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Calibration as a handler: any engine that goes once over the calibration set can carry it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch.distributed as dist
from ignite.engine import Engine, Events
from torch import nn

from monai_coat.calibration import (
    CalibrationResult,
    Guarantee,
    as_guarantee,
    check_calibration_fits,
    gather_statistic,
    identity_of,
    save_calibration,
    summary_of,
    update_with,
    with_reach,
)
from monai_coat.handlers._intake import ScoreIntake
from monai_coat.handlers.batch_metadata import batch_metadata
from monai_coat.networks import AdaptiveSegmenter, unwrap_adaptive_segmenter

__all__ = ["ConformalCalibration"]

logger = logging.getLogger(__name__)


class ConformalCalibration:
    """Collect scores and labels while an engine runs, and calibrate when its epoch is over.

    The result is logged and left in ``engine.state.calibration``; when the run is over also in the buffers of
    ``network`` and in a JSON artifact, as far as these are given. Workers of a process group calibrate together, each
    image counted once, and an uneven or empty shard is no matter; the first of them writes the artifact. If it fails,
    network and artifact stay as they were.

    Args:
        alpha: tolerated mean false negative rate, in (0, 1): short for
            ``guarantee=ExpectedRisk(FalseNegativeRate(), alpha)``.
        network: network that made the scores, bare or wrapped for data parallelism; receives the calibration, unless
            that is of false positives: the network's buffers are for its prediction set. If it runs with the engine,
            scores must be its output as it is, without activation; flips, crops and other grids are no matter.
        path: JSON artifact to write.
        method: name of the scorer, for the artifact.
        output_transform: takes ``(scores, labels)`` out of the engine's output: two batches ``(B, C, *spatial)`` or two
            lists of maps ``(C, *spatial)``, whose sizes may differ. For MONAI's engines
            ``monai.handlers.from_engine(["pred", "label"])``.
        guarantee: what is promised, in place of ``alpha``. Metadata that it asks for, such as the site of each image,
            are taken from the engine's batch, or from its MetaTensors' metadata.
        pipeline: what stands around the network, by name, such as
            ``{"preprocessing": transforms, "inferer": inferer}``, see :func:`~monai_coat.calibration.identity_of`. It
            becomes part of the artifact, and with another one the calibration is refused.


    Raises:
        TypeError: if ``network`` is not an :class:`~monai_coat.networks.AdaptiveSegmenter`, or not exactly one of
            ``alpha`` and ``guarantee`` is given.
        ValueError: if ``alpha`` is no level; when the epoch is over, if every class has too few images for it, scores
            of more or fewer classes than the network has, scores that are not what it gave, or masks in place of
            scores: all are 0 or 1.

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
        alpha: float | None = None,
        network: nn.Module | None = None,
        path: str | os.PathLike[str] | None = None,
        method: str = "",
        output_transform: Callable[[Any], Any] = lambda output: output,
        guarantee: Guarantee | None = None,
        pipeline: Mapping[str, object] | None = None,
    ) -> None:
        self.guarantee = as_guarantee(guarantee, alpha)
        self.path, self.method, self.pipeline = path, method, pipeline
        self.network: AdaptiveSegmenter | None = unwrap_adaptive_segmenter(network) if network is not None else None
        self.output_transform = output_transform
        self.statistic, self.intake = self.guarantee.statistic(), ScoreIntake(self.network)
        self.result: CalibrationResult | None = None

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
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def started(self, engine: Engine) -> None:
        """Begin anew, with the network in evaluation mode.

        Raises:
            ValueError: if the path is that of a folder.
        """
        if self.path is not None and os.path.isdir(self.path):  # before the images, not after them
            raise ValueError(f"path must name a file, got {self.path}, which is a folder; name a file in it.")
        self.statistic = self.guarantee.statistic()
        self.intake.start()

    def iteration_completed(self, engine: Engine) -> None:
        """Take in the engine's output.

        Raises:
            RuntimeError: if the network is in training mode.
            ValueError: if metadata are asked for, and there are more or fewer images than in the batch.
        """
        rows, taken = batch_metadata(engine.state.batch, self.guarantee.keys), 0
        for scores, labels in self.intake.pairs(engine, self.output_transform):
            meta = None if rows is None else rows[taken : taken + len(scores)]
            update_with(self.statistic, scores, labels, meta)
            taken += len(scores)
        if rows is not None and taken != len(rows):
            raise ValueError(
                f"output must have all images of the batch, got {taken} of {len(rows)}: which image has which "
                f"{', '.join(self.guarantee.keys)} cannot be told; leave none out."
            )

    def epoch_completed(self, engine: Engine) -> None:
        """Calibrate, leave the result in the engine's state, and log it."""
        forms = self.intake.finish()
        statistic = gather_statistic(self.statistic)
        result = self.guarantee.calibrate(statistic)
        result = with_reach(result, self.guarantee, statistic, forms, log=_is_first())
        result = replace(result, method=self.method, identity=identity_of(self.network, self.pipeline))
        if self.network is not None:
            check_calibration_fits(result, classes=self.network.num_classes)
        engine.state.calibration = self.result = result  # type: ignore[attr-defined]
        if _is_first():
            logger.info("calibrated: %s", summary_of(result))

    def completed(self, engine: Engine) -> None:
        """Leave the result in network and artifact: at the end, when no other calibration of the run can fail.

        Raises:
            ValueError: if the network has changed since its epoch was over.
        """
        result, self.result = self.result, None
        if result is None:
            return
        if self.network is not None:
            check_calibration_fits(result, identity=identity_of(self.network, self.pipeline))
        if self.path is not None and _is_first():
            save_calibration(result, self.path)
        if self.network is not None and self.guarantee.risk.rises:
            self.network.set_calibration(result.cutoff, result.alpha, result.n)


def _is_first() -> bool:
    """Whether this is the only worker, or the first."""
    return not dist.is_initialized() or dist.get_rank() == 0
