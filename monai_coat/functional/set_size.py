# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The size and precision of prediction sets: what coverage costs, and is always reported beside it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from monai_coat.functional.checks import check_maps, check_scores
from monai_coat.functional.foreground import at_least_float32, plain

__all__ = ["is_inside", "precision", "precision_of_counts", "relative_set_size", "set_counts", "set_fraction"]


def relative_set_size(scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
    r"""Size of the prediction set in units of the foreground, :math:`|\{s \ge c\}| / |Y|`.

    Args:
        scores: score maps ``(B, C, *spatial)``.
        labels: reference masks of the same shape, bool or {0, 1}.
        cutoff: a number, or a tensor that broadcasts to ``(B, C)``; comparison is ``score >= cutoff``.

    Returns:
        Relative sizes ``(B, C)`` in float64, 1 for a set as large as the foreground; NaN where there is no foreground.

    Example:
        >>> relative_set_size(torch.tensor([[[0.2, 0.7, 0.9]]]), torch.tensor([[[0, 0, 1]]]), 0.5)
        tensor([[2.]], dtype=torch.float64)
    """
    _, size, foreground = set_counts(scores, labels, cutoff)
    return torch.where(foreground > 0, size / foreground, torch.nan)


def precision(scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
    r"""Share of the prediction set that is foreground, :math:`|\{s \ge c\} \cap Y| / |\{s \ge c\}|`.

    Returns:
        Precision ``(B, C)`` in float64; 1 of an empty set, see :func:`precision_of_counts`. Arguments as for
        :func:`relative_set_size`.

    Example:
        >>> precision(torch.tensor([[[0.2, 0.7, 0.9]]]), torch.tensor([[[0, 0, 1]]]), 0.5)
        tensor([[0.5000]], dtype=torch.float64)
    """
    hits, size, _ = set_counts(scores, labels, cutoff)
    shares: Tensor = precision_of_counts(hits, size)
    return shares


def precision_of_counts(hits: Any, size: Any) -> Any:
    """Precision from counts of pixels: numbers, arrays or tensors.

    An empty set has a precision of 1: nothing in it is wrong, as with false discovery rates. Left out of means, as
    "undefined", a method could raise its mean precision by giving nothing for hard images and not have it show.

    Args:
        hits: pixels of the set that are foreground.
        size: pixels of the set.

    Example:
        >>> precision_of_counts(3, 4), precision_of_counts(0, 0)
        (0.75, 1.0)
    """
    empty = size == 0
    return (hits + empty) / (size + empty)


def set_fraction(scores: Tensor, cutoff: float | Tensor) -> Tensor:
    r"""Share of the image that the prediction set takes; on an image without foreground, the size of the false alarm.

    Returns:
        Fractions ``(B, C)`` in float64.

    Example:
        >>> set_fraction(torch.tensor([[[0.2, 0.7, 0.9, 0.1]]]), 0.5)
        tensor([[0.5000]], dtype=torch.float64)
    """
    scores = plain(scores)
    check_scores(scores)
    return is_inside(scores, cutoff).flatten(2).double().mean(-1)


def is_inside(scores: Tensor, cutoff: float | Tensor) -> Tensor:
    """Which pixels of maps ``(B, C, *spatial)`` are in the prediction set, bool; ``cutoff`` is broadcast to (B, C).

    Example:
        >>> is_inside(torch.tensor([[[0.2, 0.7]]]), 0.7)
        tensor([[[False,  True]]])
    """
    scores = at_least_float32(scores.detach())
    cutoffs = torch.as_tensor(cutoff, dtype=scores.dtype, device=scores.device).expand(scores.shape[:2])
    return scores >= cutoffs.reshape(*scores.shape[:2], *[1] * (scores.dim() - 2))


def set_counts(scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels of the set that are foreground, of the set, and of the foreground, each ``(B, C)`` in float64."""
    scores, labels = plain(scores), plain(labels)
    mask = check_maps(scores, labels).flatten(2)
    inside = is_inside(scores, cutoff).flatten(2)
    return (inside & mask).sum(-1).double(), inside.sum(-1).double(), mask.sum(-1).double()
