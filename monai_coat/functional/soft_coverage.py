# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Soft coverage: the true positive rate with a sigmoid in place of the step, so that it has a gradient."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from monai_coat.functional.checks import check_forms, check_temperature
from monai_coat.functional.foreground import Foreground, at_least_float32, plain, spread

__all__ = ["soft_true_positive_rate", "temperature_of_spread"]


def soft_true_positive_rate(scores: Tensor, labels: Tensor | None, temperature: float) -> Tensor:
    r"""The true positive rate at cutoff 0 with the step replaced by a sigmoid, so that it has a gradient.

    .. math:: \widetilde{\mathrm{TPR}} = \frac{1}{|Y|} \sum_{j \in Y} \sigma(s_j / T)

    With margins :math:`s_j = p_j - \hat\tau(X)` this is the soft coverage of the mask :math:`\{p \ge \hat\tau\}`; it
    tends to the true positive rate as :math:`T \to 0` where no score is exactly 0.

    Args:
        scores: margin maps ``(B, C, *spatial)``.
        labels: reference masks of the same shape, bool or {0, 1}; None if every point is foreground, as in the margins
            of a :func:`~monai_coat.functional.foreground_sketch`.
        temperature: :math:`T > 0` in the unit of the scores; small is sharp.

    Returns:
        Soft coverage ``(B, C)``, once differentiable in ``scores``; NaN, without gradient, where an image has no
        foreground.

    Raises:
        TypeError: if ``scores`` is not floating point.
        ValueError: if shapes differ, scores are not finite, labels hold anything but 0 and 1, or ``temperature <= 0``.

    Example:
        >>> soft_true_positive_rate(torch.tensor([[[0.0, 9.0]]]), torch.tensor([[[1, 1]]]), temperature=0.1)
        tensor([[0.7500]])

    Source:
        COAT (ICLR 2026), differentiable miscoverage loss.
    """
    temperature = check_temperature(temperature)
    scores = plain(scores)
    if labels is None:
        return _soft_shares(at_least_float32(scores).flatten(2), temperature)
    labels = plain(labels)
    check_forms(scores, labels)
    rates: Tensor = _SoftRates.apply(scores, labels, temperature)  # type: ignore[no-untyped-call]
    return rates


def temperature_of_spread(sketches: Tensor) -> float:
    """A temperature that fits the data: half the median spread (interquartile range) of an image's foreground scores.

    Args:
        sketches: ascending foreground scores ``(..., K)``, of images that have foreground.

    Returns:
        The temperature in the unit of the scores, at least 0.0005.

    Example:
        >>> temperature_of_spread(torch.linspace(0, 7, 8)[None])
        2.0
    """
    quarter = sketches.shape[-1] // 4
    return float((sketches[..., -quarter] - sketches[..., quarter]).median().clamp(min=1e-3)) / 2


class _SoftRates(torch.autograd.Function):
    """Rates and their gradient by hand: between them nothing as large as a map is made, but the gradient itself."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, labels: Tensor, temperature: float) -> Tensor:
        taken = Foreground.of(scores, labels)
        soft = taken.values.div_(temperature).sigmoid_()
        ctx.save_for_backward(soft, taken.mask)
        ctx.counts, ctx.temperature, ctx.dtype = taken.counts, temperature, scores.dtype
        return torch.stack([part.mean() for part in soft.split(taken.counts)]).reshape(scores.shape[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        soft, mask = ctx.saved_tensors
        slope = soft * (1 - soft)
        for part, count, weight in zip(slope.split(ctx.counts), ctx.counts, gradient.flatten(), strict=True):
            part.mul_(weight / (max(count, 1) * ctx.temperature))
        return spread(slope, mask, ctx.dtype), None, None


def _soft_shares(sketches: Tensor, temperature: float) -> Tensor:
    shares = torch.sigmoid(sketches / temperature).mean(-1)
    if not math.isnan(float(shares.detach().sum())):
        return shares
    # Zero times NaN is NaN: rows without foreground are taken out before the sigmoid, so that no gradient passes them.
    empty = torch.isnan(sketches).any(-1)
    shares = torch.sigmoid(sketches.masked_fill(empty[..., None], 0.0) / temperature).mean(-1)
    return shares.masked_fill(empty, math.nan)
