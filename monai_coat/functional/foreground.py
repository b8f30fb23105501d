# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The scores of foreground pixels: all that coverage, calibration and the losses ever look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from monai_coat.functional._checks import check_maps

__all__ = ["foreground_scores"]


def foreground_scores(scores: Tensor, labels: Tensor) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
    """Take the scores of the foreground pixels out of a batch of maps, image by image and class by class.

    Differentiable with respect to ``scores``. Everything after it costs what the foreground costs, not the volume.

    Args:
        scores: score maps ``(B, C, *spatial)``, floating point and finite; float16 and bfloat16 become float32.
        labels: reference masks of the same shape, bool or {0, 1}.

    Returns:
        ``B * C`` one-dimensional tensors, class fastest, empty for an image without foreground; and ``(B, C)``.

    Raises:
        TypeError: if ``scores`` is not floating point.
        ValueError: if shapes differ, scores are not finite, or labels hold anything but 0 and 1.

    Example:
        >>> values, shape = foreground_scores(torch.tensor([[[0.2, 0.7, 0.9]]]), torch.tensor([[[0, 1, 1]]]))
        >>> values[0], shape
        (tensor([0.7000, 0.9000]), (1, 1))
    """
    scores, labels = plain(scores), plain(labels)
    mask = check_maps(scores, labels)
    batch, channels = scores.shape[:2]
    values: Tensor = _Take.apply(scores, mask)  # type: ignore[no-untyped-call]
    return tuple(at_least_float32(values).split(_counts(mask))), (batch, channels)


def plain(maps: Tensor) -> Tensor:
    """Drop a tensor subclass: metadata plays no part in arithmetic, and carrying it costs more than the arithmetic."""
    return maps.as_subclass(Tensor) if isinstance(maps, Tensor) else maps


def at_least_float32(scores: Tensor) -> Tensor:
    """Half precision as float32: float16 cannot tell 0.9999 from 0.99991, which may be two sides of a cutoff."""
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores


class _Take(torch.autograd.Function):
    """Boolean indexing; on a CPU by NumPy, which is several times faster at it than torch, forward and backward."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.like = scores.shape, scores.dtype, scores.device
        if not _in_numpy(scores):
            return scores[mask]
        return torch.from_numpy(scores.numpy().reshape(-1)[mask.numpy().reshape(-1)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        shape, dtype, device = ctx.like
        full = torch.zeros(shape, dtype=dtype, device=device)
        if _in_numpy(full):
            full.numpy().reshape(-1)[mask.numpy().reshape(-1)] = gradient.numpy()
        else:
            full[mask] = gradient
        return full, None


def _in_numpy(maps: Tensor) -> bool:
    return maps.device.type == "cpu" and maps.dtype != torch.bfloat16


def _counts(mask: Tensor) -> list[int]:
    """Foreground pixels per image and class."""
    rows = mask.reshape(mask.shape[0] * mask.shape[1], -1)
    if mask.device.type == "cpu":
        return [int(np.count_nonzero(row)) for row in rows.numpy()]
    return [int(v) for v in rows.sum(1).tolist()]
