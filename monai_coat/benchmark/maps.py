# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Probability maps of one segmenter, with all that methods read of them computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.calibration import CoverageStatistic, calibrate
from monai_coat.functional import foreground_sketch
from monai_coat.networks import MapSummaries

__all__ = ["Maps", "Round", "SortedScores"]

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Maps:
    """Images with foreground, their masks and maps.

    Attributes:
        ids: names.
        image: 8 bit, ``(N, 3, H, W)``.
        label: bool, ``(N, 1, H, W)``.
        probs: float32, ``(N, 1, H, W)``.
    """

    ids: tuple[str, ...]
    image: Tensor
    label: Tensor
    probs: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, index: Sequence[int]) -> Maps:
        """Some of the images."""
        chosen = list(index)
        return Maps(tuple(self.ids[i] for i in chosen), self.image[chosen], self.label[chosen], self.probs[chosen])

    def joined(self, other: Maps) -> Maps:
        """These images, then the others."""
        pairs = ((self.image, other.image), (self.label, other.label), (self.probs, other.probs))
        return Maps(self.ids + other.ids, *(torch.cat(pair) for pair in pairs))

    @cached_property
    def summaries(self) -> Tensor:
        """Label-free summaries ``(N, features)``."""
        summarise = MapSummaries(1)
        return torch.cat([summarise(part) for part in self.probs.split(64)])

    @cached_property
    def sketches(self) -> Tensor:
        """Foreground sketches ``(N, 1, 256)`` of the probabilities."""
        return foreground_sketch(self.probs, self.label, 256)

    @cached_property
    def sorted_probs(self) -> SortedScores:
        """The probabilities, ready to be cut."""
        return SortedScores.of(self.probs, self.label)


@dataclass(frozen=True)
class Round:
    """Images to learn from, and the pool that calibration and test images are drawn from."""

    train: Maps
    pool: Maps


@dataclass(frozen=True)
class SortedScores:
    """Ascending scores of each image, of its foreground and of all its pixels."""

    foreground: list[Scores]
    every: list[Scores]

    @classmethod
    def of(cls, scores: Tensor, labels: Tensor) -> SortedScores:
        """Sort maps ``(N, 1, H, W)``."""
        flat, masks = scores.float().flatten(1).numpy(), labels.flatten(1).numpy()
        return cls([np.sort(s[m]) for s, m in zip(flat, masks, strict=True)], list(np.sort(flat, axis=1)))

    def cutoff(self, index: Sequence[int], alpha: float) -> float:
        """The calibrated cutoff of some images."""
        statistic = CoverageStatistic()
        for i in index:
            scores = torch.from_numpy(self.foreground[i])[None, None]
            statistic.update(scores, torch.ones_like(scores, dtype=torch.bool))
        return calibrate(statistic, alpha).cutoff[0]

    def measure(self, index: Sequence[int], cutoffs: Sequence[float]) -> NDArray[np.float64]:
        """Coverage, precision, stretch and share of pixels inside ``score >= cutoff``, one row per image."""
        rows = []
        for i, cutoff in zip(index, cutoffs, strict=True):
            # A Python number would be rounded to float32 by some NumPy and compared in float64 by other.
            limit = np.float32(cutoff)
            total, size = len(self.foreground[i]), len(self.every[i])
            hit = total - int(np.searchsorted(self.foreground[i], limit, "left"))
            inside = size - int(np.searchsorted(self.every[i], limit, "left"))
            rows.append((hit / total, hit / inside if inside else np.nan, inside / total, inside / size))
        return np.array(rows)
