# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The exact cutoff by a second pass: only the scores between two bounds are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_coat.calibration.control import result_of_crossings
from monai_coat.calibration.pool import PartOfPool
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.statistics import float32_below
from monai_coat.functional import exact_level, foreground_scores

__all__ = ["BracketStatistic", "calibrate_bracket"]


class BracketStatistic:
    """Foreground scores within bounds, and of each image how many lie below and how many there are.

    Args:
        brackets: bounds per class, from :meth:`~monai_coat.calibration.BinnedStatistic.brackets` of the same images;
            of a class, ``low <= score < high`` is kept.

    Example:
        >>> statistic = BracketStatistic([(0.5, 0.8)])
        >>> statistic.update(torch.tensor([[[0.2, 0.5, 0.9]]]), torch.ones(1, 1, 3))
        >>> statistic.n, statistic.kept
        ((1,), (1,))
    """

    def __init__(self, brackets: Sequence[tuple[float, float]]) -> None:
        self.brackets = tuple((float(low), float(high)) for low, high in brackets)
        self._scores: list[list[np.ndarray[Any, np.dtype[np.float32]]]] = [[] for _ in self.brackets]
        self._counts: list[list[tuple[int, int]]] = [[] for _ in self.brackets]
        self._empty = [0] * len(self.brackets)

    @property
    def n(self) -> tuple[int, ...]:
        """Images with foreground, per class."""
        return tuple(len(counts) for counts in self._counts)

    @property
    def n_empty(self) -> tuple[int, ...]:
        """Images left out because the class is absent from them, per class."""
        return tuple(self._empty)

    @property
    def kept(self) -> tuple[int, ...]:
        """Scores within the bounds, per class."""
        return tuple(sum(each.size for each in scores) for scores in self._scores)

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add a batch of images; arguments and errors as those of the exact statistic.

        Raises:
            TypeError: if ``scores`` is not floating point.
            ValueError: if shapes differ, values are wrong, or there are more or fewer classes than brackets.
        """
        with torch.no_grad():
            values, (_, channels) = foreground_scores(scores, labels)
            images = [float32_below(value.detach().cpu()).numpy() for value in values]
        if channels != len(self.brackets):
            raise ValueError(f"scores must have the {len(self.brackets)} classes of the brackets, got {channels}.")
        for place, image in enumerate(images):
            index = place % channels
            low, high = self.brackets[index]
            if image.size:
                self._scores[index].append(image[(image >= low) & (image < high)])
                self._counts[index].append((int((image < low).sum()), image.size))
            else:
                self._empty[index] += 1

    def merge(self, other: BracketStatistic) -> None:
        """Add all images of another statistic.

        Raises:
            ValueError: if the brackets differ.
        """
        if self.brackets != other.brackets:
            raise ValueError(f"other must have the brackets {self.brackets}, got {other.brackets}.")
        for index in range(len(self.brackets)):
            self._scores[index] += other._scores[index]
            self._counts[index] += other._counts[index]
            self._empty[index] += other._empty[index]

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors and numbers."""
        return {
            "brackets": self.brackets,
            "scores": [[torch.from_numpy(each) for each in scores] for scores in self._scores],
            "counts": [list(counts) for counts in self._counts],
            "empty": list(self._empty),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace brackets and contents by those of :meth:`state_dict`."""
        self.__init__(state["brackets"])  # type: ignore[misc]
        self._scores = [[each.numpy() for each in scores] for scores in state["scores"]]
        self._counts = [[(int(below), int(size)) for below, size in counts] for counts in state["counts"]]
        self._empty = list(state["empty"])

    def part(self, index: int) -> PartOfPool:
        """One class, ready to be searched."""
        sizes = [each.size for each in self._scores[index]]
        missed, total = np.array(self._counts[index], dtype=np.int64).reshape(-1, 2).T
        scores = np.concatenate([np.empty(0, np.float32), *self._scores[index]])
        return PartOfPool(scores, np.repeat(np.arange(len(sizes)), sizes), missed, total)


def calibrate_bracket(statistic: BracketStatistic, alpha: float) -> CalibrationResult:
    """The result of :func:`~monai_coat.calibration.calibrate`, bit for bit, from what a second pass kept.

    Args:
        statistic: of the images that the brackets are of, all of them.
        alpha: the level that the brackets are for.

    Raises:
        ValueError: if a cutoff is not within its bracket: the second pass has seen other images than the first.

    Example:
        >>> from monai_coat.calibration import BinnedStatistic, calibrate_maps
        >>> scores, labels = torch.rand(20, 1, 50), torch.ones(20, 1, 50)
        >>> first = BinnedStatistic(0.0, 1.0, bins=16)
        >>> first.update(scores, labels)
        >>> second = BracketStatistic(first.brackets(0.1))
        >>> second.update(scores, labels)
        >>> calibrate_bracket(second, 0.1) == calibrate_maps(list(scores), list(labels), 0.1)
        True
    """
    level = exact_level(alpha)
    parts = [statistic.part(index) for index in range(len(statistic.brackets))]
    for part, n, (low, high) in zip(parts, statistic.n, statistic.brackets, strict=True):
        if not part.scores.size:
            raise ValueError(f"statistic must hold scores in [{low}, {high}), got none among {n} images; see brackets.")
    crossings = [part.crossing(level * (n + 1) - 1) for part, n in zip(parts, statistic.n, strict=True)]
    return result_of_crossings(crossings, [part.sizes for part in parts], statistic.n_empty, alpha)
