# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The ideal threshold of an image, an order statistic of its foreground scores."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from monai_coat.functional.foreground import foreground_scores
from monai_coat.functional.levels import allowed_misses

__all__ = ["ideal_threshold"]


def ideal_threshold(probs: Tensor, labels: Tensor, alpha: float) -> Tensor:
    r"""The largest threshold at which an image still has its target coverage.

    .. math:: \tau^* = \max\{\tau : \mathrm{TPR}(\tau) \ge 1 - \alpha\}

    With :math:`m` foreground pixels at most :math:`\lfloor \alpha m \rfloor` may be missed, so :math:`\tau^*` is the
    foreground score of rank :math:`\lfloor \alpha m \rfloor + 1` from below. It is a score of the image: no
    interpolation, exact under ties, differentiable in that score.

    Args:
        probs: probability maps, or any score maps, ``(B, C, *spatial)``.
        labels: reference masks of the same shape, bool or {0, 1}.
        alpha: tolerated false negative rate, in (0, 1).

    Returns:
        Thresholds ``(B, C)`` in the unit of ``probs``; NaN where an image has no foreground.

    Raises:
        TypeError: if ``probs`` is not floating point.
        ValueError: if shapes differ, scores are not finite, labels hold anything but 0 and 1, or ``alpha`` is no level.

    Example:
        >>> probs = torch.tensor([[[0.9, 0.8, 0.4, 0.3]]])
        >>> ideal_threshold(probs, torch.tensor([[[1, 1, 1, 0]]]), alpha=0.34)
        tensor([[0.8000]])

    Source:
        COAT (ICLR 2026), the target of the AT baseline, there found by bisection.
    """
    values, shape = foreground_scores(probs, labels)
    return torch.stack([_order_statistic(v, alpha) for v in values]).reshape(shape)


def _order_statistic(values: Tensor, alpha: float) -> Tensor:
    rank = allowed_misses(alpha, values.numel()) + 1
    if not values.numel():
        return values.new_full((), math.nan)
    # kthvalue of torch has no gradient rule for a tie; position and value are taken apart to have one.
    index = torch.kthvalue(values.detach(), rank).indices
    return values[index]
