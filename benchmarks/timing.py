# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Alternating timings: a machine that slows down slows all contestants down."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds of one contestant, one per round."""

    seconds: tuple[float, ...]

    @property
    def milliseconds(self) -> float:
        """Median, in milliseconds."""
        return 1e3 * statistics.median(self.seconds)

    def over(self, other: Timing) -> float:
        """Median over rounds of this contestant's time divided by the other's in the same round."""
        return statistics.median(a / b for a, b in zip(self.seconds, other.seconds, strict=True))


def alternate(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Time each contestant once a round, after a round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: Timing(tuple(times)) for name, times in seconds.items()}


@dataclass(frozen=True)
class Row:
    """A line of the result: what was measured, what came out, what was asked for."""

    what: str
    value: float
    bound: str
    holds: bool

    def __str__(self) -> str:
        holds = ("yes" if self.holds else "no") if self.bound else ""
        return f"| {self.what} | {self.value:.3g} | {self.bound} | {holds} |"
