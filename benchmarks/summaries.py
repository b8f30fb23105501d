# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Summaries of a volume against reading it, and the memory they take."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import Row, Timing
from monai_coat.scorers import MapSummaries

SIDE = 160


def make_maps() -> dict[str, Tensor]:
    """Maps of one class: noise, nearly all of it small, and with nine tenths of zeros and some ones."""
    noise = torch.rand(1, 1, SIDE, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return {"noise": noise, "power": noise**12, "saturated": (20 * noise - 18).clamp(0, 1)}


def thread_seconds(run: Callable[[], object]) -> float:
    """CPU time of this thread: the clock on the wall also runs while others have the processor."""
    start = time.thread_time()
    run()
    return time.thread_time() - start


def in_passes(probs: Tensor, rounds: int) -> float:
    """Time of the summaries over that of one pass: the sum of the map, and the count of a mask."""
    summaries, values = MapSummaries(1), probs.numpy()
    mask = values > 0.5
    pairs = [
        (
            thread_seconds(lambda: (np.sum(values), np.count_nonzero(mask))),
            thread_seconds(lambda: summaries(probs)),
        )
        for _ in range(rounds + 1)
    ][1:]  # the first round does not count
    one, ours = (Timing(seconds) for seconds in zip(*pairs, strict=True))
    return ours.over(one)


def status(entry: str) -> int:
    """A figure of Linux about the memory of this process, in bytes."""
    found = re.search(rf"{entry}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError(f"/proc/self/status must have {entry}, which Linux writes; measure memory there.")
    return 1024 * int(found[1])


def memory_in_maps() -> float:
    """Memory beyond the map, in maps: the peak of the process, less what it holds before the call.

    Run it in a process of its own, since the peak is over the life of the process. VmHWM is that peak; ``ru_maxrss`` of
    a new process begins at what its parent held, which would hide ours. If loading the libraries ever took more than
    the summaries do, we would count it as theirs: the figure can be too high, not too low.
    """
    torch.set_num_threads(1)
    summaries, probs = MapSummaries(1), torch.rand(1, 1, SIDE, SIDE, SIDE)
    summaries(torch.rand(1, 1, 8, 8, 8))  # what is set up once is not the map's
    before = status("VmRSS")
    summaries(probs)
    return (status("VmHWM") - before) / probs.nbytes


def run(rounds: int = 15) -> list[Row]:
    """Measure with one thread; of the kinds of map, the slowest counts."""
    torch.set_num_threads(1)
    passes = max(in_passes(probs, rounds) for probs in make_maps().values())
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        maps = pool.submit(memory_in_maps).result()
    return [
        Row(f"summaries of a map of {SIDE}^3 / one pass over it", passes, "at most 25", passes <= 25),
        Row("their memory beyond the map, in maps", maps, "at most 5", maps <= 5),
    ]


if __name__ == "__main__":
    print(*run(), sep="\n")
