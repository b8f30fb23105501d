# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The exact cutoff by a second pass: only the scores between two bounds are kept."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from monai_coat.calibration.statistics.base import NO_PROMISE, Budget, Solution, check_same_kind
from monai_coat.calibration.statistics.entries import array_in, check_names, whole_in
from monai_coat.calibration.statistics.exact import solution_of
from monai_coat.calibration.statistics.pool import PartOfPool, Weights, within_budget
from monai_coat.calibration.statistics.shares import ShareStatistic
from monai_coat.functional import exact_level

__all__ = ["BracketStatistic", "Brackets"]


@dataclass(frozen=True)
class Brackets:
    """Bounds on a cutoff, and the images and level that they are of.

    Attributes:
        bounds: per class ``low <= cutoff < high``.
        alpha: level of the cutoff.
        n: images with foreground, per class, that the bounds were found from.
    """

    bounds: tuple[tuple[float, float], ...]
    alpha: float
    n: tuple[int, ...]


class BracketStatistic(ShareStatistic):
    """Foreground scores within bounds, and of each image how many lie below and how many there are.

    Its cutoff is that of :class:`~monai_coat.calibration.CoverageStatistic`, bit for bit, at the level of the bounds
    and no other.

    Args:
        brackets: from :meth:`~monai_coat.calibration.BinnedStatistic.brackets` of the same images; of a class,
            ``low <= score < high`` is kept.

    Example:
        >>> statistic = BracketStatistic(Brackets(((0.5, 0.8),), alpha=0.1, n=(1,)))
        >>> statistic.update(torch.tensor([[[0.2, 0.5, 0.9]]]), torch.ones(1, 1, 3))
        >>> statistic.n, statistic.kept
        ((1,), (1,))
    """

    kind: ClassVar[str] = "bracket"

    def __init__(self, brackets: Brackets) -> None:
        self.brackets = brackets
        self._make_classes(len(brackets.bounds))

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
        return tuple(sum(image.size for image in images) for images in self._scores)

    def _make_classes(self, channels: int) -> None:
        self._scores: list[list[NDArray[np.float32]]] = [[] for _ in range(channels)]
        self._counts: list[list[tuple[int, int]]] = [[] for _ in range(channels)]
        self._empty = [0] * channels

    def _open(self, channels: int) -> None:
        if channels != len(self.n):
            raise ValueError(f"scores must have the {len(self.n)} classes of the brackets, got {channels}.")

    def _add(self, index: int, image: NDArray[np.float32]) -> None:
        low, high = self.brackets.bounds[index]
        if image.size:
            self._scores[index].append(image[(image >= low) & (image < high)])
            self._counts[index].append((int((image < low).sum()), image.size))
        else:
            self._empty[index] += 1

    def merge(self, other: BracketStatistic) -> None:
        """Add all images of another statistic.

        Raises:
            TypeError: if the other is of another kind.
            ValueError: if the brackets differ.
        """
        check_same_kind(self, other)
        if self.brackets != other.brackets:
            raise ValueError(f"other must have the brackets {self.brackets}, got {other.brackets}.")
        for index in range(len(self.n)):
            self._scores[index] += other._scores[index]
            self._counts[index] += other._counts[index]
            self._empty[index] += other._empty[index]

    def solve(self, budget: Budget) -> tuple[Solution, ...]:
        """The largest cutoff of each class within the budget, exactly.

        Raises:
            ValueError: if the budget is not that of the brackets' level, the images are more or fewer than the brackets
                are of, or the cutoff is not between the bounds: the second pass has seen other images or scores.
        """
        level = exact_level(self.brackets.alpha)
        for index, (n, before) in enumerate(zip(self.n, self.brackets.n, strict=True)):
            if n != before:
                raise ValueError(
                    f"statistic must hold the {before} images of class {index} that the brackets are of, got {n}; go "
                    "over the same images again."
                )
            if budget(n) != level * (n + 1) - 1:
                raise ValueError(
                    f"level must be the one of the brackets, alpha={self.brackets.alpha}, got another; find brackets "
                    "for that level."
                )
        return tuple(self._solution(index, budget(n)) for index, n in enumerate(self.n))

    def _solution(self, index: int, budget: Fraction) -> Solution:
        if budget < 0:
            return NO_PROMISE
        part, (low, high) = self.part(index), self.brackets.bounds[index]
        kept = np.bincount(part.owner, minlength=part.sizes.size)
        at_low = within_budget(part.missed, part.sizes, budget)
        at_high = within_budget(part.missed + kept, part.sizes, budget)
        if not part.scores.size or not at_low or at_high:
            raise ValueError(
                f"statistic must have its cutoff in [{low}, {high}), as the brackets say, got scores of class {index} "
                "that have it elsewhere; go over the same images with the same scores."
            )
        return solution_of(part.crossing(budget), part.sizes)

    def part(self, index: int) -> PartOfPool:
        """One class, ready to be searched."""
        sizes = [image.size for image in self._scores[index]]
        missed, total = np.array(self._counts[index], dtype=np.int64).reshape(-1, 2).T
        scores = np.concatenate([np.empty(0, np.float32), *self._scores[index]])
        owner = np.repeat(np.arange(len(sizes)), sizes)
        return PartOfPool(scores, owner, missed, total, Weights.equal(len(sizes)))

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors and numbers."""
        return {
            "brackets": {"bounds": self.brackets.bounds, "alpha": self.brackets.alpha, "n": self.brackets.n},
            "scores": [[torch.from_numpy(image) for image in images] for images in self._scores],
            "counts": [list(counts) for counts in self._counts],
            "empty": list(self._empty),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace brackets and contents by those of :meth:`state_dict`.

        Raises:
            ValueError: if the contents contradict themselves.
        """
        check_names(state, ("brackets", "scores", "counts", "empty"))
        saved, empty = state["brackets"], [whole_in({"empty": number}, "empty") for number in state["empty"]]
        bounds = tuple((float(low), float(high)) for low, high in saved["bounds"])
        scores = [[array_in({"scores": s}, "scores", np.float32, 1) for s in images] for images in state["scores"]]
        counts = [[(int(below), int(size)) for below, size in images] for images in state["counts"]]
        if not len(bounds) == len(saved["n"]) == len(scores) == len(counts) == len(empty):
            raise ValueError("brackets, scores, counts and empty must be of the same classes")
        if len({len(images) + number for images, number in zip(counts, empty, strict=True)}) > 1:
            raise ValueError("classes must be of the same images, with and without foreground")
        for bound, images, places in zip(bounds, scores, counts, strict=True):
            _check_class(bound, images, places)
        self.brackets = Brackets(bounds, float(saved["alpha"]), tuple(int(n) for n in saved["n"]))
        self._scores, self._counts, self._empty = scores, counts, empty


def _check_class(bound: tuple[float, float], images: list[Any], counts: list[tuple[int, int]]) -> None:
    """Scores must lie within the bounds, and numbers of pixels go with them."""
    sizes = [image.size for image in images]
    if len(sizes) != len(counts) or any(
        size < 1 or not 0 <= below <= size - kept for kept, (below, size) in zip(sizes, counts, strict=True)
    ):
        raise ValueError("counts must say of each image how many scores lie below the bounds, of how many")
    if not all(((image >= bound[0]) & (image < bound[1])).all() for image in images):
        raise ValueError("scores must lie within the brackets")
