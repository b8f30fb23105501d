# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scores of volumes, of which one at a time is in memory."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from monai_coat.comparison.data.sorted_scores import Scores, cutoff_of, row_of_counts
from monai_coat.comparison.data.volumes import VolumePool
from monai_coat.files.progress import followed
from monai_coat.scorers import Scorer

__all__ = ["StreamedScores"]

logger = logging.getLogger(__name__)

KEPT = 2**30
"""Bytes of scores that stay in memory: of small volumes all."""


class StreamedScores:
    """What :class:`~monai_coat.comparison.SortedScores` does, exactly, without the scores of all volumes in memory.

    The first pass keeps the scores of the foreground, from which cutoffs are found. What lies inside a cutoff is
    counted volume by volume; where their scores are not in memory they are made again.

    Args:
        scorer: from maps to scores.
        pool: the volumes.
    """

    def __init__(self, scorer: Scorer, pool: VolumePool) -> None:
        self._scorer, self._pool = scorer, pool
        self._kept: dict[int, Scores] = {}
        self.foreground: list[Scores] = []
        room = KEPT
        for place in followed(range(len(pool)), len(pool), logger, "scores"):
            scores, mask = self._scores_and_mask(place)
            self.foreground.append(np.sort(scores[mask]))
            if scores.nbytes <= room:
                room -= scores.nbytes
                self._kept[place] = scores

    def cutoff(self, index: Sequence[int], alpha: float) -> float:
        """The calibrated cutoff of some images."""
        return cutoff_of([self.foreground[i] for i in index], alpha)

    def measure(self, index: Sequence[int], cutoffs: Sequence[float]) -> NDArray[np.float64]:
        """Coverage, precision, relative set size and share of voxels inside ``score >= cutoff``, one row per image."""
        rows = []
        for i, cutoff in zip(index, cutoffs, strict=True):
            limit, foreground = np.float32(cutoff), self.foreground[i]
            scores = self._kept[i] if i in self._kept else self._scores_and_mask(i)[0]
            hit = len(foreground) - int(np.searchsorted(foreground, limit, "left"))
            rows.append(row_of_counts(hit, len(foreground), int(np.count_nonzero(scores >= limit)), scores.size))
        return np.array(rows)

    @torch.no_grad()
    def _scores_and_mask(self, place: int) -> tuple[Scores, NDArray[np.bool_]]:
        probs, mask = self._pool.read(place)
        scores = self._scorer(probs[None], probs[None])[0, 0].float().contiguous().numpy()
        return scores, mask[0].numpy()
