# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The size of a structure, under- and overestimated: the two sides of an interval for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from monai_coat.calibration.risks.base import Risk
from monai_coat.functional.ranks import NEVER, kth_largest, map_rows
from monai_coat.functional.set_size import set_counts

__all__ = ["VolumeOverestimated", "VolumeUnderestimated"]


class _OfVolumes(Risk):
    """An event that can happen in every image."""

    event: ClassVar[str]

    @property
    def phrase(self) -> str:
        """In a sentence."""
        return f"the {self.event.replace('set ', 'set is ')}"

    @property
    def words(self) -> str:
        """An indicator."""
        return f"1{{{self.event}}}"

    @property
    def expected_words(self) -> str:
        """A probability."""
        return f"P({self.event})"

    @property
    def counted(self) -> str:
        """All images, whether or not they have the class."""
        return "images"

    @property
    def left_out(self) -> str:
        """No image."""
        return "for any reason"


@dataclass(frozen=True)
class VolumeUnderestimated(_OfVolumes):
    r"""Whether the set has fewer voxels than the structure, of each class by itself: 1 if so, 0 if not.

    .. math:: 1\{|\{j : s_j \ge c\}| < |Y|\}

    It rises with the cutoff. All images count; a structure that is absent is never underestimated. With
    :class:`VolumeOverestimated` it gives an interval for the size of the structure: of cutoffs calibrated at
    :math:`\alpha / 2` each,

    .. math:: \big[\,|\{s \ge \hat c_\text{over}\}|,\ |\{s \ge \hat c_\text{under}\}|\,\big]

    holds the size with a probability of at least :math:`1 - \alpha`, for the two events together have at most
    :math:`\alpha`. Where the two ends cross, the interval from the smaller to the larger does.

    Sizes are numbers of voxels; times the volume of a voxel they are millilitres. Where the voxels are, the promise
    does not say.

    Example:
        >>> import torch
        >>> scores, labels = torch.tensor([[[0.2, 0.7, 0.9]]]), torch.tensor([[[1, 1, 0]]])
        >>> [float(VolumeUnderestimated().image_risk(scores, labels, cutoff)) for cutoff in (0.7, 0.8)]
        [0.0, 1.0]
    """

    name: ClassVar[str] = "volume_underestimated"
    of_places: ClassVar[bool] = False
    binary: ClassVar[bool] = True
    event: ClassVar[str] = "set smaller than the structure"

    def image_risk(self, scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
        """1 or 0, ``(B, C)``; see :meth:`Risk.image_risk`."""
        _, size, foreground = set_counts(scores, labels, cutoff)
        return (size < foreground).double()

    def critical_scores(self, scores: Tensor, labels: Tensor) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        """The score of rank ``|Y|`` of each whole image, with foreground or not.

        Returns:
            ``B * C`` tensors of one number, class fastest, and ``(B, C)``. The risk is 1 at cutoffs above the number.
        """
        rows, masks, shape = map_rows(scores, labels)
        sizes = masks.sum(1).tolist()
        return tuple(_of_rank(row, size) for row, size in zip(rows, sizes, strict=True)), shape


@dataclass(frozen=True)
class VolumeOverestimated(_OfVolumes):
    r"""Whether the set has more voxels than the structure, of each class by itself: 1 if so, 0 if not.

    .. math:: 1\{|\{j : s_j \ge c\}| > |Y|\}

    It falls as the cutoff rises. All images count; a structure that fills its image is never overestimated. See
    :class:`VolumeUnderestimated` for the interval that the two give.

    Example:
        >>> import torch
        >>> scores, labels = torch.tensor([[[0.2, 0.7, 0.9]]]), torch.tensor([[[1, 0, 0]]])
        >>> [float(VolumeOverestimated().image_risk(scores, labels, cutoff)) for cutoff in (0.7, 0.8)]
        [1.0, 0.0]
    """

    name: ClassVar[str] = "volume_overestimated"
    of_places: ClassVar[bool] = False
    binary: ClassVar[bool] = True
    rises: ClassVar[bool] = False
    event: ClassVar[str] = "set larger than the structure"

    def image_risk(self, scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
        """1 or 0, ``(B, C)``; see :meth:`Risk.image_risk`."""
        _, size, foreground = set_counts(scores, labels, cutoff)
        return (size > foreground).double()

    def critical_scores(self, scores: Tensor, labels: Tensor) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        """Minus the score of rank ``|Y| + 1`` of each whole image, with foreground or not.

        Returns:
            ``B * C`` tensors of one number, class fastest, and ``(B, C)``. The risk is 1 at cutoffs up to minus the
            number.
        """
        rows, masks, shape = map_rows(scores, labels)
        ranks = (masks.sum(1) + 1).tolist()
        return tuple(_of_rank(row, rank, -1) for row, rank in zip(rows, ranks, strict=True)), shape


def _of_rank(row: Tensor, rank: int, sign: int = 1) -> Tensor:
    """The signed score of a rank; where there is no such rank, what is never wrong."""
    return sign * kth_largest(row, rank) if 1 <= rank <= row.numel() else row.new_tensor([NEVER])
