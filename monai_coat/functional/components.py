# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Connected components: the lesions of a mask, those that a set hits, and what a set marks beside them."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from monai_coat.functional.checks import check_labels
from monai_coat.functional.foreground import plain
from monai_coat.functional.levels import exact_share

__all__ = ["connected_components", "false_lesions", "lesions_hit", "voxels_needed"]


def connected_components(mask: Tensor) -> tuple[Tensor, int]:
    """Number the connected components of a mask; voxels that share a corner are connected.

    That is full connectivity, of 8 neighbours in two dimensions and 26 in three.

    Args:
        mask: one image and class ``(*spatial)``, bool or {0, 1}.

    Returns:
        Numbers of the components, 1 to their count and 0 outside, int32 of the shape and device of the mask; and the
        count.

    Raises:
        ImportError: if SciPy is not installed.
        ValueError: if the mask holds anything but 0 and 1.

    Example:
        >>> connected_components(torch.tensor([[1, 0, 0, 1], [0, 1, 0, 1]]))
        (tensor([[1, 0, 0, 2],
                [0, 1, 0, 2]], dtype=torch.int32), 2)
    """
    try:
        from scipy import ndimage  # noqa: PLC0415  calibration of other risks runs without SciPy
    except ImportError:
        raise ImportError(
            "SciPy must be installed to find connected components, got no such package; run pip install "
            "'monai_coat[methods]'."
        ) from None
    inside = check_labels(plain(mask)).cpu().numpy()
    numbers, count = ndimage.label(inside, np.ones((3,) * inside.ndim))
    return torch.from_numpy(numbers).to(mask.device), int(count)


def voxels_needed(size: int, overlap: float) -> int:
    r"""How many voxels of a lesion must be in the set for it to be hit, :math:`\max(1, \lceil q\,m \rceil)`, exactly.

    Args:
        size: voxels m of the lesion.
        overlap: the share q of them, in [0, 1], read as the decimal that it prints as.

    Example:
        >>> voxels_needed(10, 0.3), voxels_needed(10, 0.31), voxels_needed(10, 0)
        (3, 4, 1)
    """
    return max(1, math.ceil(exact_share(overlap, "overlap") * size))


def lesions_hit(prediction_set: Tensor, labels: Tensor, overlap: float = 0.0) -> tuple[Tensor, Tensor]:
    r"""Count the lesions of reference masks, and those of them that a prediction set hits.

    A lesion is a connected component of the mask of one image and class. It is hit if at least
    :math:`\max(1, q\,m)` of its m voxels are in the set.

    Args:
        prediction_set: masks ``(B, C, *spatial)``, bool or {0, 1}.
        labels: reference masks of the same shape.
        overlap: the share q, in [0, 1]; 0 asks for a single voxel.

    Returns:
        Lesions that are hit, and all of them, each ``(B, C)`` in int64.

    Raises:
        ImportError: if SciPy is not installed.
        ValueError: if shapes differ, masks hold anything but 0 and 1, or ``overlap`` is outside [0, 1].

    Example:
        >>> lesions_hit(torch.tensor([[[1, 0, 0, 0, 0]]]), torch.tensor([[[1, 1, 0, 1, 1]]]))
        (tensor([[1]]), tensor([[2]]))
    """
    marked, masks = _pairs(prediction_set, labels)
    counts = []
    for inside, mask in zip(marked.flatten(0, 1), masks.flatten(0, 1), strict=True):
        numbers, total = connected_components(mask)
        sizes = numbers.flatten().bincount(minlength=total + 1)[1:].tolist()
        taken = numbers[inside].bincount(minlength=total + 1)[1:].tolist()
        hits = sum(t >= voxels_needed(size, overlap) for t, size in zip(taken, sizes, strict=True))
        counts.append((hits, total))
    hit, every = torch.tensor(counts, device=labels.device).reshape(*masks.shape[:2], 2).unbind(-1)
    return hit, every


def false_lesions(prediction_set: Tensor, labels: Tensor) -> Tensor:
    """Count the connected components of a prediction set that touch no lesion: what a reader looks at in vain.

    A component touches a lesion if they have a voxel in common.

    Args:
        prediction_set: masks ``(B, C, *spatial)``, bool or {0, 1}.
        labels: reference masks of the same shape.

    Returns:
        Numbers of components ``(B, C)`` in int64.

    Raises:
        ImportError: if SciPy is not installed.
        ValueError: if shapes differ, or masks hold anything but 0 and 1.

    Example:
        >>> false_lesions(torch.tensor([[[1, 1, 0, 1, 0, 1]]]), torch.tensor([[[0, 1, 1, 0, 0, 0]]]))
        tensor([[2]])
    """
    marked, masks = _pairs(prediction_set, labels)
    counts = []
    for inside, mask in zip(marked.flatten(0, 1), masks.flatten(0, 1), strict=True):
        numbers, total = connected_components(inside)
        touched = numbers[mask & inside].unique().numel()
        counts.append(total - touched)
    return torch.tensor(counts, device=labels.device).reshape(masks.shape[:2])


def _pairs(prediction_set: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Both as bool, of one shape."""
    if prediction_set.shape != labels.shape or labels.dim() < 3:
        raise ValueError(
            f"prediction_set and labels must have the same shape (B, C, *spatial), got {tuple(prediction_set.shape)} "
            f"and {tuple(labels.shape)}; one-hot encode label maps, one channel per class."
        )
    return check_labels(plain(prediction_set)), check_labels(plain(labels))
