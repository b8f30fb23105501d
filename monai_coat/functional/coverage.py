# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Coverage of an image: its true positive rate, and the distance to its target."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from monai_coat.functional.foreground import foreground_scores
from monai_coat.functional.levels import target_coverage

__all__ = ["coverage_gap", "false_negative_rate", "true_positive_rate"]


def true_positive_rate(scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
    r"""The share of each image's foreground with a score at or above the cutoff: the image's coverage.

    .. math:: \mathrm{TPR} = \frac{|\{j \in Y : s_j \ge c\}|}{|Y|}

    Comparison is ``score >= cutoff``: a tie is inside. Larger cutoffs give smaller sets.

    Args:
        scores: score maps ``(B, C, *spatial)``; probabilities, margins or logits.
        labels: reference masks of the same shape, bool or {0, 1}.
        cutoff: a number, or a tensor that broadcasts to ``(B, C)``, such as one cutoff per class ``(C,)``.

    Returns:
        Coverage ``(B, C)`` in float64 (so that 9 of 10 equals 0.9); NaN where an image has no foreground.

    Raises:
        TypeError: if ``scores`` is not floating point.
        ValueError: if shapes differ, scores are not finite, or labels hold anything but 0 and 1.

    Example:
        >>> true_positive_rate(torch.tensor([[[0.2, 0.7, 0.9]]]), torch.tensor([[[0, 1, 1]]]), 0.8)
        tensor([[0.5000]], dtype=torch.float64)
    """
    return _rates(scores, labels, cutoff, torch.ge)


def false_negative_rate(scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
    r"""The share of each image's foreground with a score below the cutoff: what the prediction set misses.

    .. math:: \mathrm{FNR} = \frac{|\{j \in Y : s_j < c\}|}{|Y|} = 1 - \mathrm{TPR}

    Arguments and errors as for :func:`true_positive_rate`.

    Returns:
        Rates ``(B, C)`` in float64, each the quotient of two counts; NaN where an image has no foreground.

    Example:
        >>> false_negative_rate(torch.tensor([[[0.2, 0.7, 0.9]]]), torch.tensor([[[0, 1, 1]]]), 0.8)
        tensor([[0.5000]], dtype=torch.float64)
    """
    return _rates(scores, labels, cutoff, torch.lt)


def _rates(
    scores: Tensor, labels: Tensor, cutoff: float | Tensor, comparison: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Share of each image's foreground whose score compares so with the cutoff."""
    values, shape = foreground_scores(scores, labels)
    cutoffs = torch.as_tensor(cutoff, dtype=values[0].dtype, device=scores.device).expand(shape).reshape(-1)
    rates = [_share(comparison(v.detach(), c)) for v, c in zip(values, cutoffs, strict=True)]
    return torch.tensor(rates, dtype=torch.float64, device=scores.device).reshape(shape)


def _share(inside: Tensor) -> float:
    return int(torch.count_nonzero(inside)) / inside.numel() if inside.numel() else math.nan


def coverage_gap(coverage: Tensor, alpha: float) -> Tensor:
    r"""The distance of each image's coverage from its target, :math:`|\mathrm{TPR} - (1 - \alpha)|`.

    Its mean over images is the coverage gap of the field. Predicting everything has a gap of exactly ``alpha``: never
    report it without a set size.

    Args:
        coverage: true positive rates, any shape, usually ``(B, C)``; NaN stays NaN.
        alpha: tolerated mean false negative rate, in (0, 1).

    Returns:
        Gaps of the shape of ``coverage``.

    Raises:
        ValueError: if ``alpha`` is outside (0, 1).

    Example:
        >>> coverage_gap(torch.tensor([[0.75]]), alpha=0.25)
        tensor([[0.]])
    """
    return (coverage - target_coverage(alpha)).abs()
