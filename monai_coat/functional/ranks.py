# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scores by their rank in an image, which decides at which cutoff a number of voxels is in the set."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_coat.functional.checks import check_maps
from monai_coat.functional.foreground import plain
from monai_coat.functional.scores import float32_below

__all__ = ["NEVER", "kth_largest", "map_rows"]

NEVER = float(torch.tensor(torch.finfo(torch.float32).max).nextafter(torch.tensor(0.0)))
"""A number that is below no cutoff that means anything: the largest float32 alone, which is above it, is no promise."""


def map_rows(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """A checked batch of maps as rows, one for each image and class.

    Args:
        scores: score maps ``(B, C, *spatial)``, floating point and finite.
        labels: reference masks of the same shape, bool or {0, 1}.

    Returns:
        Scores ``(B * C, pixels)``, class fastest, as the largest float32 not above each, which passes a float32 cutoff
        if and only if the score does; masks of that shape as bool; and ``(B, C)``.

    Raises:
        TypeError: if ``scores`` is not floating point.
        ValueError: if shapes differ, scores are not finite, or labels hold anything but 0 and 1.

    Example:
        >>> map_rows(torch.tensor([[[0.5, 0.75]]]), torch.tensor([[[0, 1]]]))
        (tensor([[0.5000, 0.7500]]), tensor([[False,  True]]), (1, 1))
    """
    scores, labels = plain(scores), plain(labels)
    mask = check_maps(scores, labels)
    shape = scores.shape[0], scores.shape[1]
    rows = float32_below(scores.detach()).reshape(shape[0] * shape[1], -1)
    return rows, mask.reshape(rows.shape), shape


def kth_largest(values: Tensor, rank: int) -> Tensor:
    r"""The score of a rank: at least so many values are at or above a cutoff if and only if it is.

    .. math:: |\{j : s_j \ge c\}| \ge k \iff s_{(k)} \ge c

    Args:
        values: one-dimensional; equal ones count one by one.
        rank: from 1, the largest, to the number of values.

    Returns:
        A tensor of one number.

    Raises:
        ValueError: if there is no value of this rank.

    Example:
        >>> kth_largest(torch.tensor([0.25, 0.75, 0.75]), 2)
        tensor([0.7500])
    """
    if not 1 <= rank <= values.numel():
        raise ValueError(f"rank must be from 1 to the {values.numel()} values, got {rank}; count from the largest, 1.")
    return values.kthvalue(values.numel() - rank + 1).values.reshape(1)
