# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scores of images, sorted once and cut many times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.calibration import CoverageStatistic, calibrate
from monai_coat.functional import precision_of_counts

__all__ = ["Scores", "SortedScores", "cutoff_of", "row_of_counts"]

Scores = NDArray[np.float32]
"""Of one image."""


@dataclass(frozen=True)
class SortedScores:
    """The ascending scores of each image.

    Attributes:
        foreground: scores of its foreground.
        pixels: scores of all its pixels.
    """

    foreground: list[Scores]
    pixels: list[Scores]

    @classmethod
    def of(cls, scores: Tensor, labels: Tensor) -> SortedScores:
        """Sort maps ``(N, 1, H, W)``."""
        flat, masks = scores.float().flatten(1).numpy(), labels.flatten(1).numpy()
        foreground = [np.sort(scores_of_image[mask]) for scores_of_image, mask in zip(flat, masks, strict=True)]
        return cls(foreground, list(np.sort(flat, axis=1)))

    def cutoff(self, index: Sequence[int], alpha: float) -> float:
        """The calibrated cutoff of some images."""
        return cutoff_of([self.foreground[i] for i in index], alpha)

    def measure(self, index: Sequence[int], cutoffs: Sequence[float]) -> NDArray[np.float64]:
        """Coverage, precision, relative set size and share of pixels inside ``score >= cutoff``, one row per image."""
        rows = []
        for i, cutoff in zip(index, cutoffs, strict=True):
            # A Python number would be rounded to float32 by some versions of NumPy, and compared in float64 by others.
            limit = np.float32(cutoff)
            total, size = len(self.foreground[i]), len(self.pixels[i])
            hit = total - int(np.searchsorted(self.foreground[i], limit, "left"))
            inside = size - int(np.searchsorted(self.pixels[i], limit, "left"))
            rows.append(row_of_counts(hit, total, inside, size))
        return np.array(rows)


def cutoff_of(foreground: Iterable[Scores], alpha: float) -> float:
    """The calibrated cutoff of the foreground scores of some images."""
    statistic = CoverageStatistic()
    for image in foreground:
        scores = torch.from_numpy(image)[None, None]
        statistic.update(scores, torch.ones_like(scores, dtype=torch.bool))
    return calibrate(statistic, alpha).cutoff[0]


def row_of_counts(hit: int, total: int, inside: int, size: int) -> tuple[float, float, float, float]:
    """Coverage, precision, relative set size and share of pixels inside, of pixels.

    Args:
        hit: foreground inside.
        total: foreground.
        inside: pixels inside.
        size: pixels.
    """
    return hit / total, float(precision_of_counts(hit, inside)), inside / total, inside / size
