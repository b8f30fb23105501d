# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""True risks of a population at every cutoff, by counting: nothing of the package is used."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.validity.promises.pool import CLASSES, LESIONS, LEVELS, PIXELS, Array, Pool

GRID = (np.arange(LEVELS + 1) / LEVELS).astype(np.float32)


class Truth:
    """Risks of each image ``(images, classes, 201)`` at the cutoffs 0, 1 / 200, ... 1.

    Args:
        pool: the population.
        masks: reference masks, those of the population if none are given.
    """

    def __init__(self, pool: Pool, masks: NDArray[np.bool_] | None = None) -> None:
        self.pool, self.masks = pool, pool.lesions > 0 if masks is None else masks
        self.size, self.hits = reached(pool.levels, np.ones_like(self.masks)), reached(pool.levels, self.masks)
        self.foreground = self.masks.sum(2)[..., None]

    def curves(self, key: str) -> Array:
        """Of a risk by its key; NaN of images that do not count."""
        name, _, settings = key.removesuffix(")").partition("(")
        if name == "exceeds":
            inner, tolerance = settings.rsplit(", ", 1)
            curves = self.curves(inner)
            return np.where(np.isnan(curves), np.nan, curves > float(tolerance))
        return _CURVES[name](self)

    def mean(self, key: str, weights: Array | None = None, index: int = 0) -> Array:
        """Mean risk of a class at each cutoff, over images that count, perhaps weighted."""
        curves = self.curves(key)[:, index]
        weights = np.ones(len(curves)) if weights is None else weights
        counted = ~np.isnan(curves[:, 0])
        return weights[counted] @ curves[counted] / weights[counted].sum()

    @cached_property
    def missed(self) -> Array:
        """FNR of each image."""
        return self._present((self.foreground - self.hits) / np.maximum(self.foreground, 1))

    @cached_property
    def worst(self) -> Array:
        """The largest FNR of the classes that are there."""
        rates = np.nan_to_num(self.missed, nan=-1.0).max(1, keepdims=True)
        return np.where(rates < 0, np.nan, rates)

    @cached_property
    def lesions(self) -> Array:
        """Share of lesions of which no pixel is reached."""
        lost = np.zeros_like(self.size, dtype=np.float64)
        for lesion in range(1, LESIONS + 1):
            highest = np.where(self.pool.lesions == lesion, self.pool.levels, -1).max(2)[..., None]
            lost += (highest >= 0) & (highest < np.arange(LEVELS + 1))
        return self._present(lost / np.maximum(self.pool.lesions.max(2)[..., None], 1))

    def _present(self, values: Array) -> Array:
        return np.where(self.foreground > 0, values, np.nan)

    def _absent(self, values: Array) -> Array:
        return np.where(self.foreground == 0, values, np.nan)


_CURVES: dict[str, Callable[[Truth], Array]] = {
    "false_negative_rate": lambda t: t.missed,
    "worst_class_false_negative_rate": lambda t: t.worst,
    "false_positive_ratio": lambda t: t._present(np.minimum(1, (t.size - t.hits) / np.maximum(t.foreground, 1))),
    "lesions_missed": lambda t: t.lesions,
    "false_alarm": lambda t: t._absent((t.size >= 1).astype(np.float64)),
    "false_alarm_size": lambda t: t._absent(t.size / PIXELS),
    "volume_underestimated": lambda t: (t.size < t.foreground).astype(np.float64),
    "volume_overestimated": lambda t: (t.size > t.foreground).astype(np.float64),
    "false_discovery_rate": lambda t: t._present((t.size - t.hits) / np.maximum(t.size, 1)),
}


def reached(levels: NDArray[np.int64], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many pixels of a mask reach each cutoff, ``(images, classes, 201)``."""
    rows = np.arange(len(levels) * CLASSES).reshape(len(levels), CLASSES, 1)
    cells = (rows * (LEVELS + 1) + levels)[masks]
    counts = np.bincount(cells, minlength=rows.size * (LEVELS + 1)).reshape(len(levels), CLASSES, LEVELS + 1)
    return counts[..., ::-1].cumsum(2)[..., ::-1]


def step_of(cutoff: float, strict: bool = False) -> int:
    """The place among the cutoffs of the one with the same set; ``strict`` leaves out what equals the cutoff."""
    return min(int(np.searchsorted(GRID, np.float32(cutoff), side="right" if strict else "left")), LEVELS)
