# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The exact statistic of false negative rates and other share risks: each image's critical scores, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from monai_coat.calibration.statistics.base import NO_PROMISE, Budget, Solution, check_same_kind
from monai_coat.calibration.statistics.entries import check_names
from monai_coat.calibration.statistics.pool import Crossing, ScorePool
from monai_coat.calibration.statistics.shares import FALSE_NEGATIVES, ShareRisk, ShareStatistic

__all__ = ["CoverageStatistic", "solution_of"]


class CoverageStatistic(ShareStatistic):
    """Critical scores of the calibration images seen so far, per class: of the false negative rate the foreground's.

    Filled batch by batch with maps of any size; needs no image twice; answers every alpha; merging the statistics of
    several workers gives the very cutoff of a single run, bit for bit, in any order. It keeps four bytes per foreground
    pixel. Images without foreground are left out of the class and counted in ``n_empty``.

    Args:
        risk: the risk it is of, which must have :meth:`~monai_coat.calibration.Risk.critical_scores`; the false
            negative rate if none is given.

    Example:
        >>> import torch
        >>> statistic = CoverageStatistic()
        >>> statistic.update(torch.tensor([[[0.2, 0.7, 0.9]]]), torch.tensor([[[0, 1, 1]]]))
        >>> statistic.n, statistic.n_empty
        ((1,), (0,))
    """

    kind: ClassVar[str] = "foreground scores"

    def __init__(self, risk: ShareRisk = FALSE_NEGATIVES) -> None:
        self.risk = risk
        self._pools: list[ScorePool] = []

    @property
    def pools(self) -> tuple[ScorePool, ...]:
        """One pool of critical scores per class."""
        return tuple(self._pools)

    @property
    def n(self) -> tuple[int, ...]:
        """Images with foreground, per class."""
        return tuple(len(pool) for pool in self._pools)

    @property
    def n_empty(self) -> tuple[int, ...]:
        """Images left out because the class is absent from them, per class."""
        return tuple(pool.n_empty for pool in self._pools)

    def _make_classes(self, channels: int) -> None:
        self._pools = [ScorePool() for _ in range(channels)]

    def _add(self, index: int, image: NDArray[np.float32]) -> None:
        self._pools[index].add(image)

    def merge(self, other: CoverageStatistic) -> None:
        """Add all images of another statistic, for example of another worker; an empty one changes nothing.

        Raises:
            TypeError: if the other is of another kind.
            ValueError: if the two hold different numbers of classes.
        """
        check_same_kind(self, other)
        if other._pools:
            self._open(len(other._pools))
        for mine, theirs in zip(self._pools, list(other._pools), strict=False):
            mine.extend(theirs)

    def solve(self, budget: Budget) -> tuple[Solution, ...]:
        """The most useful cutoff of each class whose sum of risks is within the budget, exactly."""
        budgets = [budget(len(pool)) for pool in self._pools]
        return tuple(
            self._outside(solution_of(pool.crossing(tolerated), pool.sizes) if tolerated >= 0 else NO_PROMISE)
            for pool, tolerated in zip(self._pools, budgets, strict=True)
        )

    def risks_at(self, cutoffs: Sequence[float]) -> tuple[NDArray[np.float64], ...]:
        """The risk of each image that counts, per class, at a cutoff per class."""
        pairs = zip(self._pools, cutoffs, strict=True)
        return tuple(pool.missed(self._inside(cutoff)) / pool.sizes for pool, cutoff in pairs)

    @property
    def images(self) -> Sequence[Mapping[int, NDArray[np.float32]]]:
        """Critical scores of each image, per class."""
        return [pool.images for pool in self._pools]

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors, for checkpoints and for other processes; see :meth:`load_state_dict`."""
        return {str(index): pool.state_dict() for index, pool in enumerate(self._pools)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the contents by those of :meth:`state_dict`.

        Raises:
            ValueError: if sizes, positions and scores do not fit together, or classes are of different images.
        """
        check_names(state, [str(index) for index in range(len(state))])
        pools = [ScorePool.from_state_dict(state[str(index)]) for index in range(len(state))]
        if len({len(pool) + pool.n_empty for pool in pools}) > 1:
            raise ValueError("classes must be of the same images, with and without foreground")
        self._pools = pools


def solution_of(crossing: Crossing, sizes: NDArray[np.int64]) -> Solution:
    """The solution at a crossing, given the foreground of each image."""
    return Solution(crossing.cutoff, math.fsum(crossing.missed / sizes) / len(sizes))
