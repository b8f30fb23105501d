# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The way of scores from an engine into a statistic: what every handler that calibrates does before one counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import Trainer
from torch import Tensor

from monai_coat.calibration import ScoreForms
from monai_coat.handlers._attachment import check_engine
from monai_coat.handlers._network_scores import NetworkScores
from monai_coat.handlers.pairs import batches, check_forms, transformed
from monai_coat.networks import AdaptiveSegmenter

__all__: list[str] = []


class ScoreIntake:
    """Takes scores and labels out of an engine, and refuses what is no score, or none of the network.

    Args:
        network: the network that makes the scores, or None if it is not at hand.
    """

    def __init__(self, network: AdaptiveSegmenter | None) -> None:
        self.network = network
        self.start()

    def attach(self, engine: Engine, started: Callable[[Engine], None]) -> None:
        """Listen to the network during iterations.

        Raises:
            TypeError: if ``engine`` is none.
            ValueError: if it trains, or ``started``, the handler's own, is attached to it already.
        """
        check_engine(engine, started)
        if isinstance(engine, Trainer):
            raise ValueError(
                f"engine must be an evaluator, got {type(engine).__name__}, whose weights move while scores are "
                "collected; attach to an evaluator that runs after training."
            )
        if self.network is not None:
            engine.add_event_handler(Events.ITERATION_STARTED, self._listen)

    def start(self) -> None:
        """Begin anew, with the network in evaluation mode."""
        if self.network is not None:
            self.network.eval()
        self.forms = ScoreForms()
        self._own = NetworkScores(self.network) if self.network is not None else None

    def _listen(self, engine: Engine) -> None:
        if self._own is not None:
            self._own.listen()

    def pairs(self, engine: Engine, output_transform: Callable[[Any], Any]) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of scores and labels of an iteration.

        Raises:
            RuntimeError: if the network is in training mode.
        """
        if self._own is not None:
            self._own.stop()
            self._own.network.require_evaluation_mode()
        for scores, labels in batches(transformed(output_transform, engine.state.output), self.forms):
            yield scores, labels  # refused by the statistic first, if it is none at all
            if self._own is not None:
                self._own.take(scores)

    def finish(self) -> ScoreForms:
        """Look at all scores of all workers; returns their forms.

        Raises:
            ValueError: if they are masks, or not the network's.
        """
        forms = check_forms(self.forms)
        if self._own is not None:
            self._own.stop()
            self._own.check()
        return forms
