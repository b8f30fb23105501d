# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The exact cutoff of 1000 maps against reading them once, and against bisection."""

from __future__ import annotations

import tracemalloc

import numpy as np
import torch

from benchmarks.timing import Row, alternate
from monai_coat.calibration import CoverageStatistic, calibrate

COUNT, SIDE, ALPHA, BATCH, STEPS = 1000, 352, 0.1, 8, 30


def make_maps() -> tuple[np.ndarray, np.ndarray]:
    """Scores in [0, 1) and discs of 15 % of the image, one place and one sharpness per image."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    noise = rng.random((8, SIDE, SIDE), dtype=np.float32)
    maps, masks = np.empty((COUNT, SIDE, SIDE), np.float32), np.empty((COUNT, SIDE, SIDE), bool)
    for i in range(COUNT):
        y, x = rng.uniform(0.3 * SIDE, 0.7 * SIDE, 2)
        masks[i] = (rows - y) ** 2 + (columns - x) ** 2 < 0.15 / np.pi * SIDE**2
        np.power(noise[i % 8], np.float32(0.2 + rng.random()), out=maps[i])
    return maps, masks


def read(maps: np.ndarray, masks: np.ndarray) -> None:
    """Touch every number once."""
    for scores, mask in zip(maps, masks, strict=True):
        scores.sum()
        np.count_nonzero(mask)


def collect(maps: np.ndarray, masks: np.ndarray) -> CoverageStatistic:
    """The package's statistic, batch by batch."""
    statistic = CoverageStatistic()
    for i in range(0, len(maps), BATCH):
        scores, labels = (torch.from_numpy(a[i : i + BATCH, None]) for a in (maps, masks))
        statistic.update(scores, labels)
    return statistic


def bisect_numpy(maps: np.ndarray, masks: np.ndarray) -> float:
    """Thirty bisections over the maps, as a careful user would write them."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = np.float32((low + high) / 2)
        risk = sum(
            1 - np.count_nonzero((p >= middle) & m) / np.count_nonzero(m) for p, m in zip(maps, masks, strict=True)
        )
        low, high = (float(middle), high) if risk + 1 <= ALPHA * (len(maps) + 1) else (low, float(middle))
    return low


def bisect_torch(maps: torch.Tensor, masks: torch.Tensor) -> float:
    """The same in torch."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        risk = sum(float(1 - ((p >= middle) & m).sum() / m.sum()) for p, m in zip(maps, masks, strict=True))
        low, high = (middle, high) if risk + 1 <= ALPHA * (len(maps) + 1) else (low, middle)
    return low


def run(rounds: int = 7) -> list[Row]:
    """Measure with one thread."""
    torch.set_num_threads(1)
    maps, masks = make_maps()
    statistic = collect(maps, masks)
    calibrate(statistic, ALPHA)
    times = alternate(
        {
            "read": lambda: read(maps, masks),
            "first": lambda: calibrate(collect(maps, masks), ALPHA),
            "next": lambda: calibrate(statistic, 0.2),
        },
        rounds,
    )
    as_tensors = torch.from_numpy(maps), torch.from_numpy(masks)
    slow = alternate(
        {
            "first": lambda: calibrate(collect(maps, masks), ALPHA),
            "numpy": lambda: bisect_numpy(maps, masks),
            "torch": lambda: bisect_torch(*as_tensors),
        },
        rounds=1,
    )
    tracemalloc.start()
    calibrate(collect(maps, masks), ALPHA)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    first, following = times["first"].over(times["read"]), times["next"].over(times["first"])
    numpy, by_torch = slow["numpy"].over(slow["first"]), slow["torch"].over(slow["first"])
    size = f"{COUNT} maps of {SIDE}x{SIDE}"
    return [
        Row(f"reading {size} once, ms", times["read"].milliseconds, "", True),
        Row("exact cutoff / reading once", first, "at most 3.5", first <= 3.5),
        Row("every further alpha / first", following, "at most 0.1", following <= 0.1),
        Row(f"{STEPS} bisections in NumPy / exact", numpy, "at least 10", numpy >= 10),
        Row(f"{STEPS} bisections in torch / exact", by_torch, "at least 150", by_torch >= 150),
        Row("peak memory beyond the arrays, MB", peak, "under 100", peak < 100),
    ]
