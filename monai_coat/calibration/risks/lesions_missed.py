# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Missed lesions: the share of an image's connected components that the set does not hit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from monai_coat.calibration.risks.base import Risk
from monai_coat.functional import exact_share, lesions_hit
from monai_coat.functional.checks import check_maps
from monai_coat.functional.components import connected_components, voxels_needed
from monai_coat.functional.foreground import plain
from monai_coat.functional.ranks import kth_largest, map_rows
from monai_coat.functional.set_size import is_inside

__all__ = ["LesionsMissed"]


@dataclass(frozen=True)
class LesionsMissed(Risk):
    r"""The share of an image's lesions that the prediction set misses, of each class by itself.

    .. math:: \frac{|\{l : |l \cap \{s \ge c\}| < \max(1, q\,|l|)\}|}{|\{l\}|}

    A lesion l is a connected component of the reference mask, voxels that share a corner connected. A small one counts
    as much as a large one. The risk rises with the cutoff; images without the class are left out. It needs SciPy.

    Args:
        overlap: the share q of a lesion's voxels that must be in the set, in [0, 1], read as the decimal that it prints
            as; 0 asks for a single voxel.

    Raises:
        TypeError: if ``overlap`` is no number.
        ValueError: if it is outside [0, 1].

    Example:
        >>> scores, labels = torch.tensor([[[0.2, 0.4, 0.1, 0.8]]]), torch.tensor([[[1, 1, 0, 1]]])
        >>> [float(LesionsMissed(q).image_risk(scores, labels, 0.3)) for q in (0.0, 0.5, 0.6)]
        [0.0, 0.0, 0.5]
    """

    name: ClassVar[str] = "lesions_missed"
    looks_at_shape: ClassVar[bool] = True
    overlap: float = 0.0

    def __post_init__(self) -> None:
        exact_share(self.overlap, "overlap")

    @property
    def key(self) -> str:
        """The name with the overlap."""
        return f"{self.name}({float(self.overlap)})"

    @property
    def phrase(self) -> str:
        """In a sentence."""
        return (
            "the share of lesions that are missed"
            if not self.overlap
            else f"the share of lesions of which less than {self.overlap:g} is marked"
        )

    @property
    def words(self) -> str:
        """The share, and the overlap if there is one."""
        return "share of lesions " + (f"less than {float(self.overlap)} covered" if self.overlap else "missed")

    def image_risk(self, scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
        """Shares of lesions ``(B, C)``; see :meth:`Risk.image_risk`."""
        check_maps(plain(scores), plain(labels))
        hit, every = lesions_hit(is_inside(scores, cutoff), labels, self.overlap)
        return torch.where(every > 0, (every - hit).double() / every, torch.nan)

    def critical_scores(self, scores: Tensor, labels: Tensor) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        r"""One number for each lesion: its score of rank :math:`\max(1, \lceil q\,|l| \rceil)`.

        Returns:
            ``B * C`` one-dimensional tensors, class fastest, empty for an image without foreground, and ``(B, C)``. The
            risk at a cutoff is the share of numbers below it.

        Raises:
            ImportError: if SciPy is not installed.
        """
        rows, masks, shape = map_rows(scores, labels)
        spatial = scores.shape[2:]
        return tuple(self._critical(r, m.reshape(spatial)) for r, m in zip(rows, masks, strict=True)), shape

    def _critical(self, row: Tensor, mask: Tensor) -> Tensor:
        numbers, count = connected_components(mask)
        if not count:
            return row[:0]
        # Voxels in order of their lesions, so that a thousand small ones take no thousand looks at the whole image.
        foreground, owners = row[mask.flatten()], numbers[mask]
        lesions = foreground[owners.argsort()].split(owners.bincount()[1:].tolist())
        return torch.cat([kth_largest(lesion, voxels_needed(lesion.numel(), self.overlap)) for lesion in lesions])
