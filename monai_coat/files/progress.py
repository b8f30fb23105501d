# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Progress of a long run, with the time that is left."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["Progress", "TimeLeft", "duration_text", "followed"]

OFTEN = 10.0
"""Seconds from one line about progress to the next."""

Part = TypeVar("Part")


class Progress:
    """Progress of work in parts that take about equally long.

    Args:
        total: number of parts.
    """

    def __init__(self, total: int) -> None:
        self.total, self.started = total, time.perf_counter()

    def after(self, done: int) -> str:
        """How many parts are done, and about how long the others will take."""
        left = (time.perf_counter() - self.started) / done * (self.total - done)
        return f"{done} of {self.total}" + (f" ({duration_text(left)} left)" if left else "")


def followed(parts: Iterable[Part], total: int, logger: logging.Logger, what: str) -> Iterator[Part]:
    """Hand on the parts of some work, and log every ten seconds how far it is and how long it will take.

    Example:
        >>> list(followed("ab", 2, logging.getLogger(), "read"))
        ['a', 'b']
    """
    progress = Progress(total)
    said = progress.started
    for number, part in enumerate(parts):
        now = time.perf_counter()
        if number and now - said >= OFTEN:
            logger.info("%s: %s", what, progress.after(number))
            said = now
        yield part
        del part  # which may be large, before the next one is made


class TimeLeft:
    """Time that is left of steps of several kinds, each kind with a length of its own.

    A kind is expected to take as long as its steps took so far, and one without a finished step as long as the mean of
    the others.

    Args:
        kinds: the kind of each step that is to be done.

    Example:
        >>> left = TimeLeft(["short", "long", "short"])
        >>> left.finish("short", 2.0)
        >>> left.finish("long", 60.0)
        >>> left.seconds
        2.0
    """

    def __init__(self, kinds: Iterable[str]) -> None:
        self._waiting = Counter(kinds)
        self._finished: defaultdict[str, list[float]] = defaultdict(list)

    def finish(self, kind: str, seconds: float) -> None:
        """Count a step as done."""
        self._waiting[kind] -= 1
        self._finished[kind].append(seconds)

    @property
    def seconds(self) -> float:
        """The estimate."""
        means = {kind: sum(times) / len(times) for kind, times in self._finished.items()}
        usual = sum(means.values()) / max(len(means), 1)
        return sum(count * means.get(kind, usual) for kind, count in self._waiting.items())

    def __str__(self) -> str:
        return duration_text(self.seconds)


def duration_text(seconds: float) -> str:
    """A rough duration in words.

    Example:
        >>> duration_text(44.4), duration_text(300), duration_text(9000)
        ('about 44 s', 'about 5 min', 'about 2.5 h')
    """
    if seconds < 100:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 6000 else f"about {seconds / 3600:.1f} h"
