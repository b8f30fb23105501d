# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The base of all statistics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.functional.checks import check_maps
from monai_coat.functional.foreground import plain

__all__ = ["LARGEST", "NO_PROMISE", "Solution", "Statistic", "check_same_kind"]

LARGEST = float(np.finfo(np.float32).max)
"""Minus this, a cutoff takes every score in; this one takes none."""

Budget = Callable[[int], Fraction]
"""From the number of images to the sum of their risks that is tolerated; negative if they are too few."""


@dataclass(frozen=True)
class Solution:
    """The cutoff of one class and what the calibration images lose at it.

    Attributes:
        cutoff: exactly a float32.
        risk: mean risk of the images at the cutoff, or an upper bound of it.
        remark: what the words of the guarantee must add about the cutoff, if anything.
    """

    cutoff: float
    risk: float
    remark: str = ""


NO_PROMISE = Solution(-LARGEST, 0.0)
"""Of a class with too few images: everything, which misses nothing."""


class Statistic(ABC):
    """What a calibration keeps of the images seen so far.

    It is filled batch by batch, needs no image twice, and statistics of several workers are merged in any order. A
    statistic is of one risk, which alone reads it: :meth:`~monai_coat.calibration.Risk.statistic` makes it.
    """

    kind: ClassVar[str]
    """Name in files; statistics of different kinds are not merged."""

    @property
    @abstractmethod
    def measures(self) -> str:
        """Key of the risk that it is of, see :attr:`~monai_coat.calibration.Risk.key`."""

    @property
    @abstractmethod
    def n(self) -> tuple[int, ...]:
        """Images that count, per class: the n of the guarantee."""

    @property
    @abstractmethod
    def n_empty(self) -> tuple[int, ...]:
        """Images left out, per class: those in which the class, or what else the risk needs, is absent."""

    @abstractmethod
    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add a batch of images.

        Args:
            scores: score maps ``(B, C, *spatial)``, floating point; kept as float32, float64 rounded down, which is on
                the same side of every float32 cutoff.
            labels: reference masks of the same shape, bool or {0, 1}.

        Raises:
            TypeError: if ``scores`` is not floating point.
            ValueError: if shapes differ, scores are not finite or beyond float32's range, labels hold anything but 0
                and 1, or the number of classes is not that of the batches before. Nothing is added then.
        """

    @abstractmethod
    def merge(self, other: Any) -> None:
        """Add all images of another statistic of this kind; an empty one changes nothing.

        Raises:
            TypeError: if the other is of another kind.
            ValueError: if the two do not belong together.
        """

    @abstractmethod
    def solve(self, budget: Budget) -> tuple[Solution, ...]:
        """The most useful cutoff of each class, that is the smallest set, whose summed risk is within the budget.

        Args:
            budget: sum of risks that is tolerated. Where it is negative for the n of a class, the class has too few
                images for any promise: it gets the cutoff whose risk is 0 whatever the image, everything of what is
                missed and nothing of what is wrong.

        Raises:
            ValueError: if no cutoff that the statistic knows is within the budget.
        """

    def risks_at(self, cutoffs: Sequence[float]) -> tuple[NDArray[np.float64], ...]:
        """The risk of each image that counts, per class, at a cutoff per class.

        Raises:
            TypeError: if only sums are kept.
        """
        raise TypeError(
            f"statistic must keep the risk of each image, got {type(self).__name__}, which keeps sums; take a bound "
            "that needs their mean alone (hoeffding_bentkus), or an exact statistic."
        )

    def counted(self, scores: Tensor, labels: Tensor) -> list[bool]:
        """Which images of a batch count for any class."""
        return [bool(mask.any()) for mask in check_maps(plain(scores), plain(labels))]

    @property
    def images(self) -> Sequence[Mapping[int, NDArray[Any]]]:
        """Scores that are kept of each image, by its place among all that were seen, per class; none if only sums are.

        By these an image that is there twice is known.
        """
        return ()

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers, perhaps nested, for checkpoints, files and other processes."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the contents by those of :meth:`state_dict`.

        Raises:
            ValueError: if the contents contradict themselves.
        """


def check_same_kind(mine: Statistic, other: Any) -> None:
    """Refuse to merge with anything but a statistic of the same class and risk."""
    if type(mine) is not type(other):
        raise TypeError(
            f"other must be a {type(mine).__name__}, got {type(other).__name__}; statistics of different risks do not "
            "add up."
        )
    if mine.measures != other.measures:
        raise ValueError(
            f"other must be of the risk {mine.measures!r}, got one of {other.measures!r}; statistics of different "
            "risks do not add up."
        )
