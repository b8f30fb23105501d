# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Progress of a long pass over a data set, in some ten lines of the log."""

from __future__ import annotations

import logging
import math

from ignite.engine import Engine, Events

__all__ = ["ProgressLog"]


class ProgressLog:
    """Log how far an engine is, about ``lines`` times an epoch.

    Args:
        name: what is going on, such as "calibration".
        lines: how many lines an epoch gives.
    """

    def __init__(self, name: str, lines: int = 10) -> None:
        self.name, self.lines = name, lines
        self.logger = logging.getLogger(__name__)

    def attach(self, engine: Engine) -> None:
        """Listen to an engine."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._log)

    def _log(self, engine: Engine) -> None:
        length = engine.state.epoch_length or 0
        done = (engine.state.iteration - 1) % length + 1 if length else engine.state.iteration
        if done == length or done % max(1, math.ceil(length / self.lines)) == 0:
            self.logger.info("%s: batch %d of %d", self.name, done, length)
