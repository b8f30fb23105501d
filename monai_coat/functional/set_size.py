# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What coverage costs: the size of the prediction set, beside which coverage is always reported."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_coat.functional._checks import check_maps, check_scores
from monai_coat.functional.foreground import at_least_float32, plain

__all__ = ["precision", "set_fraction", "stretch"]


def stretch(scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
    r"""Size of the prediction set in units of the foreground, :math:`|\{s \ge c\}| / |Y|`.

    Args:
        scores: score maps ``(B, C, *spatial)``.
        labels: reference masks of the same shape, bool or {0, 1}.
        cutoff: a number, or a tensor that broadcasts to ``(B, C)``; comparison is ``score >= cutoff``.

    Returns:
        Stretch ``(B, C)`` in float64, 1 for a set as large as the foreground; NaN where an image has no foreground.

    Example:
        >>> stretch(torch.tensor([[[0.2, 0.7, 0.9]]]), torch.tensor([[[0, 0, 1]]]), 0.5)
        tensor([[2.]], dtype=torch.float64)
    """
    _, size, foreground = _counts(scores, labels, cutoff)
    return torch.where(foreground > 0, size / foreground, torch.nan)


def precision(scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
    r"""Share of the prediction set that is foreground, :math:`|\{s \ge c\} \cap Y| / |\{s \ge c\}|`.

    Returns:
        Precision ``(B, C)`` in float64; NaN for an empty set. Arguments as for :func:`stretch`.

    Example:
        >>> precision(torch.tensor([[[0.2, 0.7, 0.9]]]), torch.tensor([[[0, 0, 1]]]), 0.5)
        tensor([[0.5000]], dtype=torch.float64)
    """
    hits, size, _ = _counts(scores, labels, cutoff)
    return torch.where(size > 0, hits / size, torch.nan)


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
    return _inside(scores, cutoff).flatten(2).double().mean(-1)


def _inside(scores: Tensor, cutoff: float | Tensor) -> Tensor:
    scores = at_least_float32(scores.detach())
    cutoffs = torch.as_tensor(cutoff, dtype=scores.dtype, device=scores.device).expand(scores.shape[:2])
    return scores >= cutoffs.reshape(*scores.shape[:2], *[1] * (scores.dim() - 2))


def _counts(scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    scores, labels = plain(scores), plain(labels)
    mask = check_maps(scores, labels).flatten(2)
    inside = _inside(scores, cutoff).flatten(2)
    return (inside & mask).sum(-1).double(), inside.sum(-1).double(), mask.sum(-1).double()
