# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Made-up pairs of classes in which a pixel may well be in both sets: bars that touch, and one inside the other."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.validity.inputs import LabelledMap

SIZE, BLUR, NOISE = 48, 2.0, 1.2
Interval = tuple[float, float]


def touching_bars(count: int) -> list[LabelledMap]:
    """Two bars side by side; where one ends, the other begins."""
    return [_scene(index, nested=False) for index in range(count)]


def nested_pair(count: int) -> list[LabelledMap]:
    """A bar inside a wider one: every pixel of the inner class is also one of the outer class."""
    return [_scene(index, nested=True) for index in range(count)]


def _scene(index: int, nested: bool) -> LabelledMap:
    """Probabilities that fall off across a boundary which the "network" has placed a little wrong, in both classes."""
    rng = np.random.default_rng([index, nested])
    left, middle, right = 10 + 3 * rng.standard_normal(), 24 + 3 * rng.standard_normal(), 38 + 3 * rng.standard_normal()
    true = ((left, right), (middle - 5, middle + 5)) if nested else ((left, middle), (middle, right))
    error = 1.5 * rng.standard_normal((2, 2))
    placed = [(start + a, stop + b) for (start, stop), (a, b) in zip(true, error, strict=True)]
    noise = NOISE * rng.standard_normal((2, SIZE, SIZE))
    logits = np.stack([_depth(interval) / BLUR for interval in placed]) + noise
    labels = np.stack([_depth(interval) >= 0 for interval in true])
    scores = torch.from_numpy(1 / (1 + np.exp(-logits))).float()
    return LabelledMap(scores[None], torch.from_numpy(labels)[None])


def _depth(interval: Interval) -> np.ndarray:
    """Signed distance of each column to the ends of an interval, positive inside, for all rows."""
    columns = np.arange(SIZE, dtype=np.float64)
    return np.tile(np.minimum(columns - interval[0], interval[1] - columns), (SIZE, 1))
