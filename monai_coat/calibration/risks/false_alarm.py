# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""False alarms: what is marked in images in which there is nothing to mark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from monai_coat.calibration.risks.base import Risk
from monai_coat.functional.ranks import NEVER, kth_largest, map_rows
from monai_coat.functional.set_size import set_counts

__all__ = ["FalseAlarm", "MarkedShare"]


class _OfEmptyImages(Risk):
    """What falls with the cutoff and counts images without foreground alone."""

    rises: ClassVar[bool] = False

    @property
    def counted(self) -> str:
        """Images in which there is nothing to mark."""
        return "images without foreground"

    @property
    def left_out(self) -> str:
        """Images in which there is something."""
        return "with foreground"


@dataclass(frozen=True)
class FalseAlarm(_OfEmptyImages):
    r"""Whether anything is marked in an image without foreground, of each class by itself: 1 if so, 0 if not.

    .. math:: 1\{|\{j : s_j \ge c\}| \ge k\} \quad \text{where} \quad Y = \emptyset

    It falls as the cutoff rises. Its mean over new images without foreground is the probability of a false alarm, one
    minus the specificity. Images with the class are left out.

    Args:
        voxels: the fewest marked voxels k that are an alarm, at least 1.

    Raises:
        TypeError: if ``voxels`` is no whole number.
        ValueError: if it is below 1.

    Example:
        >>> scores = torch.tensor([[[0.2, 0.7, 0.9]]])
        >>> [float(FalseAlarm(k).image_risk(scores, torch.zeros(1, 1, 3), 0.5)) for k in (1, 2, 3)]
        [1.0, 1.0, 0.0]
    """

    name: ClassVar[str] = "false_alarm"
    of_places: ClassVar[bool] = False
    binary: ClassVar[bool] = True
    voxels: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.voxels, bool) or not isinstance(self.voxels, int):
            raise TypeError(f"voxels must be a whole number, got {type(self.voxels).__name__}; give 1 for any voxel.")
        if self.voxels < 1:
            raise ValueError(f"voxels must be at least 1, got {self.voxels}; give 1 for any voxel.")

    @property
    def key(self) -> str:
        """The name with the number of voxels."""
        return f"{self.name}({self.voxels})"

    @property
    def phrase(self) -> str:
        """In a sentence."""
        return "anything is marked" if self.voxels == 1 else f"at least {self.voxels} voxels are marked"

    @property
    def words(self) -> str:
        """An indicator."""
        return f"1{{{self._event}}}"

    @property
    def expected_words(self) -> str:
        """A probability."""
        return f"P({self._event})"

    @property
    def _event(self) -> str:
        return "anything marked" if self.voxels == 1 else f"at least {self.voxels} voxels marked"

    def image_risk(self, scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
        """1 or 0, ``(B, C)``; see :meth:`Risk.image_risk`."""
        _, size, foreground = set_counts(scores, labels, cutoff)
        return torch.where(foreground == 0, (size >= self.voxels).double(), torch.nan)

    def critical_scores(self, scores: Tensor, labels: Tensor) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        """Minus the k-th largest score of each image without foreground.

        Returns:
            ``B * C`` tensors of one number, class fastest, empty for an image with foreground, and ``(B, C)``. The risk
            is 1 at cutoffs up to minus the number. An image of fewer voxels never raises an alarm.
        """
        rows, masks, shape = map_rows(scores, labels)
        return tuple(self._critical(row, mask) for row, mask in zip(rows, masks, strict=True)), shape

    def _critical(self, row: Tensor, mask: Tensor) -> Tensor:
        if bool(mask.any()):
            return row[:0]
        return -kth_largest(row, self.voxels) if self.voxels <= row.numel() else row.new_tensor([NEVER])


@dataclass(frozen=True)
class MarkedShare(_OfEmptyImages):
    r"""The share of an image without foreground that is marked, of each class by itself: how large its false alarm is.

    .. math:: \frac{|\{j : s_j \ge c\}|}{|\{j\}|} \quad \text{where} \quad Y = \emptyset

    It falls as the cutoff rises. Images with the class are left out.

    Example:
        >>> MarkedShare().image_risk(torch.tensor([[[0.2, 0.4, 0.7, 0.9]]]), torch.zeros(1, 1, 4), 0.5)
        tensor([[0.5000]], dtype=torch.float64)
    """

    name: ClassVar[str] = "false_alarm_size"
    of_places: ClassVar[bool] = False

    @property
    def phrase(self) -> str:
        """In a sentence."""
        return "the share of the image that is marked"

    @property
    def words(self) -> str:
        """The share."""
        return "share of the image marked"

    def image_risk(self, scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
        """Shares ``(B, C)``; see :meth:`Risk.image_risk`."""
        _, size, foreground = set_counts(scores, labels, cutoff)
        return torch.where(foreground == 0, size / scores[0, 0].numel(), torch.nan)

    def critical_scores(self, scores: Tensor, labels: Tensor) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        """Minus all scores of each image without foreground.

        Returns:
            ``B * C`` one-dimensional tensors, class fastest, empty for an image with foreground, and ``(B, C)``. The
            risk at a cutoff is the share of numbers that are at most minus the cutoff.
        """
        rows, masks, shape = map_rows(scores, labels)
        return tuple(row[:0] if bool(mask.any()) else -row for row, mask in zip(rows, masks, strict=True)), shape
