# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The exact statistic of the worst class: foreground scores, with the classes of an image kept together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.calibration.statistics.base import Budget, Solution, Statistic, check_same_kind
from monai_coat.calibration.statistics.exact import CoverageStatistic
from monai_coat.calibration.statistics.pool import within_budget

__all__ = ["WorstClassStatistic"]


class WorstClassStatistic(Statistic):
    """Foreground scores of the calibration images, to find one cutoff for all classes.

    It keeps what :class:`~monai_coat.calibration.CoverageStatistic` keeps. ``n`` and ``n_empty`` count images with and
    without any class, repeated for each class.

    Example:
        >>> import torch
        >>> statistic = WorstClassStatistic()
        >>> statistic.update(torch.rand(3, 2, 4), torch.tensor([[[1] * 4, [0] * 4], [[1] * 4] * 2, [[0] * 4] * 2]))
        >>> statistic.n, statistic.n_empty
        ((2, 2), (1, 1))
    """

    kind: ClassVar[str] = "foreground scores, classes together"

    def __init__(self) -> None:
        self._coverage = CoverageStatistic()

    @property
    def measures(self) -> str:
        """The false negative rate of the worst class."""
        return "worst_class_false_negative_rate"

    @property
    def n(self) -> tuple[int, ...]:
        """Images with any class, for each class."""
        pools = self._coverage.pools
        return (len({position for pool in pools for position in pool.images}),) * len(pools)

    @property
    def n_empty(self) -> tuple[int, ...]:
        """Images without any class, for each class."""
        return tuple(n + empty - any_class for n, empty, any_class in zip(*self._seen(), self.n, strict=True))

    def _seen(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return self._coverage.n, self._coverage.n_empty

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add a batch of images; see :meth:`Statistic.update`."""
        self._coverage.update(scores, labels)

    def merge(self, other: WorstClassStatistic) -> None:
        """Add all images of another statistic.

        Raises:
            TypeError: if the other is of another kind.
            ValueError: if the two hold different numbers of classes.
        """
        check_same_kind(self, other)
        self._coverage.merge(other._coverage)

    def solve(self, budget: Budget) -> tuple[Solution, ...]:
        """The largest common cutoff within the budget, exactly, for each class."""
        images = _images(self._coverage)
        cutoff = _largest(images, budget(len(images)))
        missed, sizes = _worst(images, cutoff)
        return (Solution(float(cutoff) + 0.0, math.fsum(missed / sizes) / len(images)),) * len(self.n)

    def risks_at(self, cutoffs: Sequence[float]) -> tuple[NDArray[np.float64], ...]:
        """The risk of each image that counts, for each class, at the common cutoff."""
        missed, sizes = _worst(_images(self._coverage), np.float32(cutoffs[0]))
        return (missed / sizes,) * len(self.n)

    @property
    def images(self) -> Sequence[Mapping[int, NDArray[np.float32]]]:
        """As :attr:`CoverageStatistic.images`."""
        return self._coverage.images

    def state_dict(self) -> dict[str, Any]:
        """As :meth:`CoverageStatistic.state_dict`."""
        return self._coverage.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the contents by those of :meth:`state_dict`."""
        self._coverage.load_state_dict(state)


@dataclass(frozen=True)
class _Image:
    """Ascending foreground scores of the classes that an image contains."""

    classes: tuple[NDArray[np.float32], ...]


def _images(statistic: CoverageStatistic) -> list[_Image]:
    """One entry per image with foreground."""
    classes: dict[int, list[NDArray[np.float32]]] = {}
    for pool in statistic.pools:
        for position, scores in pool.images.items():
            classes.setdefault(position, []).append(np.sort(scores))
    return [_Image(tuple(classes[position])) for position in sorted(classes)]


def _worst(images: list[_Image], cutoff: np.float32) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Misses and size of each image's worst class, compared without rounding."""
    rows = []
    for image in images:
        shares = [(int(np.searchsorted(scores, cutoff)), scores.size) for scores in image.classes]
        rows.append(max(shares, key=lambda share: Fraction(*share)))
    missed, sizes = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    return missed, sizes


def _largest(images: list[_Image], budget: Fraction) -> np.float32:
    """The largest score within the budget, by bisection over all scores in order."""
    scores = np.unique(np.concatenate([scores for image in images for scores in image.classes]))
    low, high = 0, len(scores)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if within_budget(*_worst(images, scores[middle]), budget) else (low, middle)
    return np.float32(scores[low])
