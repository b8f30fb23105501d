# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Whether the scores that reach a handler are what its network gave."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from monai_coat.calibration import gather_objects
from monai_coat.networks import AdaptiveSegmenter

__all__: list[str] = []

logger = logging.getLogger(__name__)

TOLERANCE, OVERSHOOT, SHRINKAGE = 0.1, 0.25, 0.25
"""Shares of the range of a network's scores: how far ends and mean may be off on its own grid, how far splines may lead
out of it on another one, and what a sigmoid leaves of it at most, since it is nowhere steeper than 1/4."""


@dataclass(frozen=True)
class ScoreRange:
    """Smallest and largest score, their mean, and how many there were of how many images."""

    low: float = math.inf
    high: float = -math.inf
    total: float = 0.0
    count: int = 0
    images: int = 0

    @classmethod
    def of(cls, scores: Iterable[Tensor]) -> ScoreRange:
        """The range of batches."""
        return cls.joined(cls(*_ends(batch), batch.numel(), len(batch)) for batch in scores)

    @classmethod
    def joined(cls, ranges: Iterable[ScoreRange]) -> ScoreRange:
        """The range of all scores."""
        low, high, total, count, images = zip(
            *((r.low, r.high, r.total, r.count, r.images) for r in (cls(), *ranges)), strict=True
        )
        return cls(min(low), max(high), math.fsum(total), sum(count), sum(images))

    @property
    def width(self) -> float:
        """Distance of the ends."""
        return self.high - self.low


def _ends(batch: Tensor) -> tuple[float, float, float]:
    values = batch.detach()
    low, high = values.aminmax()
    return float(low), float(high), float(values.sum(dtype=torch.float64))


class NetworkScores:
    """What a network gives while an engine runs, and what comes of it.

    Scores may be flipped, cropped, padded with 0 and brought to another grid on their way, so they are compared as a
    whole, when all have come: by their ends and their mean. What went through the network compiled is not seen. Where
    not as many images were seen as came, as of test time augmentation or saved maps, nothing can be said.
    """

    def __init__(self, network: AdaptiveSegmenter) -> None:
        self.network = network
        self._given: list[ScoreRange] = []
        self._come: list[ScoreRange] = []
        self._hook: Any = None

    def listen(self) -> None:
        """Look at what the network's scorer gives from now on, be it called by the network or by an inferer."""
        self.stop()
        self._hook = self.network.scorer.register_forward_hook(self._seen)

    def stop(self) -> None:
        """Leave the network as it was."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def _seen(self, module: object, inputs: object, scores: Any) -> None:
        if not torch.compiler.is_compiling() and isinstance(scores, Tensor):
            self._given.append(ScoreRange.of([scores]))

    def take(self, scores: Tensor) -> None:
        """Look at a batch that came."""
        self._come.append(ScoreRange.of([scores]))

    def check(self) -> None:
        """Refuse scores of all workers that are not the network's.

        Raises:
            ValueError: if they cannot be.
        """
        pairs = gather_objects((ScoreRange.joined(self._given), ScoreRange.joined(self._come)))
        given, come = (ScoreRange.joined(of_workers) for of_workers in zip(*pairs, strict=True))
        if given.images != come.images or not given.count or not math.isfinite(given.width):
            logger.warning("whether the scores are the network's own cannot be told: they came from elsewhere.")
        elif not _can_be(come, given):
            raise ValueError(
                f"scores must be what the network gave, {_words(given)}, got {_words(come)}; give its output as it is, "
                "network(image), without activation: it has the one that it was made with."
            )


def _can_be(come: ScoreRange, given: ScoreRange) -> bool:
    """Whether the scores that came can be those that were given, seen on the same grid or on another one."""
    rounding = 1e-3 * max(abs(given.low), abs(given.high))  # of half precision, on the way
    if come.count == given.count:
        mean = abs(come.total - given.total) / come.count
        off = max(abs(come.low - given.low), abs(come.high - given.high), mean)
        return off <= TOLERANCE * given.width + rounding
    room = OVERSHOOT * given.width + rounding
    inside = min(given.low, 0.0) - room <= come.low and come.high <= max(given.high, 0.0) + room
    return inside and come.width + rounding >= SHRINKAGE * given.width


def _words(scores: ScoreRange) -> str:
    return f"{scores.low:.4g} to {scores.high:.4g}, {scores.total / max(scores.count, 1):.4g} in the mean"
