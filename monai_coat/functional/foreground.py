# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The scores of foreground pixels, which are all that coverage, calibration and the losses look at."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from monai_coat.functional.checks import check_finite, check_forms, check_labels

__all__ = ["Foreground", "at_least_float32", "foreground_scores", "plain", "spread"]

_BLOCK = 2**18  # pixels whose scores, labels and mask stay in the cache from one look to the next


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
    check_forms(scores, labels)
    if torch.is_grad_enabled() and scores.requires_grad:
        values, counts = _Take.apply(scores, labels)  # type: ignore[no-untyped-call]
    else:  # the detour over a graph that nobody wants leaves a few bytes behind each time
        taken = Foreground.of(scores, labels)
        values, counts = taken.values, taken.counts
    return tuple(values.split(counts)), (scores.shape[0], scores.shape[1])


def plain(maps: Tensor) -> Tensor:
    """Drop a tensor subclass: metadata plays no part in arithmetic, and carrying it costs more than the arithmetic.

    Raises:
        ValueError: if operations of a lazy transform are pending, which would be lost.
    """
    if getattr(maps, "pending_operations", None):
        raise ValueError(
            "scores and labels must be evaluated, got a tensor with pending operations of a lazy transform; set "
            "lazy to False, or apply them first (monai.transforms.lazy.functional.apply_pending)."
        )
    return maps.as_subclass(Tensor) if isinstance(maps, Tensor) else maps


def at_least_float32(scores: Tensor) -> Tensor:
    """Half precision as float32: float16 cannot tell 0.9999 from 0.99991, which may be two sides of a cutoff."""
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores


@dataclass(frozen=True)
class Foreground:
    """Foreground scores of a batch end to end, without a graph, and where they came from.

    Attributes:
        values: scores of the foreground pixels, class fastest, then image.
        counts: foreground pixels of each image and class.
        mask: labels as bool, ``(B, C, *spatial)``.
    """

    values: Tensor
    counts: list[int]
    mask: Tensor

    @classmethod
    def of(cls, scores: Tensor, labels: Tensor) -> Foreground:
        """Check and take; of plain tensors of one shape."""
        scores, labels = at_least_float32(scores.detach()), labels.detach()
        if scores.device.type == "cpu":
            values, mask = _take_in_blocks(scores, at_least_float32(labels))
        else:
            check_finite(scores)
            mask = check_labels(labels)
            values = scores[mask]
        return cls(values, _counts(mask), mask)


def spread(values: Tensor, mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A map with these values at the foreground and zeros around it: the gradient of having taken them."""
    full = torch.zeros(mask.shape, dtype=values.dtype, device=values.device)
    if full.device.type != "cpu":
        full[mask] = values
        return full.to(dtype)
    start, numbers = 0, values.numpy()
    for part, inside in _blocks(full.numpy().reshape(-1), mask.numpy().reshape(-1)):
        stop = start + int(np.count_nonzero(inside))
        part[inside] = numbers[start:stop]
        start = stop
    return full.to(dtype)


class _Take(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, labels: Tensor) -> tuple[Tensor, list[int]]:
        taken = Foreground.of(scores, labels)
        ctx.save_for_backward(taken.mask)
        ctx.dtype = scores.dtype
        return taken.values, taken.counts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Any) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return spread(gradient, mask, ctx.dtype), None


def _take_in_blocks(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Check and take block by block, to read main memory once, and by NumPy, which is faster at it than torch."""
    flat_scores, flat_labels = scores.reshape(-1), labels.reshape(-1).numpy()
    is_mask = labels.dtype == torch.bool
    mask = flat_labels if is_mask else np.empty(flat_labels.shape, np.bool_)
    parts, is_finite, is_binary = [np.empty(0, flat_scores.numpy().dtype)], True, True
    for part, label, inside in _blocks(flat_scores, flat_labels, mask):
        is_finite &= math.isfinite(float(part.sum()))
        if not is_mask:
            np.not_equal(label, 0, out=inside)
            is_binary &= np.array_equal(inside, label == 1)
        parts.append(part.numpy()[inside])
    if not is_finite:
        check_finite(scores)  # large finite scores have an infinite sum too
    if not is_binary:
        check_labels(labels)
    return torch.from_numpy(np.concatenate(parts)), torch.from_numpy(mask).reshape(labels.shape)


def _blocks(*arrays: Any) -> Iterator[tuple[Any, ...]]:
    """Equal stretches of flat arrays, side by side."""
    for start in range(0, len(arrays[0]), _BLOCK):
        yield tuple(array[start : start + _BLOCK] for array in arrays)


def _counts(mask: Tensor) -> list[int]:
    """Foreground pixels per image and class."""
    rows = mask.reshape(mask.shape[0] * mask.shape[1], -1)
    if mask.device.type == "cpu":
        return [int(np.count_nonzero(row)) for row in rows.numpy()]
    return [int(v) for v in rows.sum(1).tolist()]
