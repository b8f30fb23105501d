# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Coverage and precision as functions of the threshold, and the threshold with the least expected coverage gap."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_coat.functional.foreground import foreground_scores
from monai_coat.functional.set_size import precision_of_counts

__all__ = ["coverage_curves", "least_expected_gap", "precision_curves"]

BLOCK = 2**20
"""Values that are counted at a time, so that counting takes no memory beside a large map."""


def coverage_curves(sketches: Tensor, thresholds: Tensor) -> Tensor:
    r"""The true positive rate of images at each of many thresholds.

    .. math:: C_i(\tau) = \frac{|\{j \in Y_i : p_{ij} \ge \tau\}|}{|Y_i|}

    Args:
        sketches: ascending foreground scores ``(..., K)``, such as :func:`~monai_coat.functional.foreground_sketch`
            makes; NaN for an image without foreground.
        thresholds: ``(G,)``, in the unit of the scores.

    Returns:
        Curves ``(..., G)``, non-increasing in the threshold; NaN where the sketch is.

    Raises:
        ValueError: if ``thresholds`` is not one-dimensional.

    Example:
        >>> coverage_curves(torch.tensor([[0.2, 0.4, 0.6, 0.8]]), torch.tensor([0.0, 0.5, 0.8]))
        tensor([[1.0000, 0.5000, 0.2500]])
    """
    if thresholds.dim() != 1:
        raise ValueError(f"thresholds must have one dimension, got shape {tuple(thresholds.shape)}.")
    below = torch.searchsorted(sketches.contiguous(), thresholds.expand(*sketches.shape[:-1], -1).contiguous())
    curves = 1 - below.to(sketches.dtype) / sketches.shape[-1]
    return curves.masked_fill(torch.isnan(sketches[..., :1]), torch.nan)


def precision_curves(probs: Tensor, labels: Tensor, thresholds: Tensor) -> Tensor:
    r"""The precision of images at each of many thresholds.

    Args:
        probs: score maps ``(B, C, *spatial)``.
        labels: reference masks of the same shape, bool or {0, 1}.
        thresholds: ``(G,)``, in the unit of the scores.

    Returns:
        Shares of :math:`\{j : p_j \ge \tau\}` that are foreground, ``(B, C, G)`` in float32: 1 where the set is empty,
        which raises no false alarm.

    Raises:
        TypeError: if ``probs`` is not floating point.
        ValueError: if shapes differ, scores are not finite, or labels hold anything but 0 and 1.

    Example:
        >>> precision_curves(torch.tensor([[[0.2, 0.4, 0.6]]]), torch.tensor([[[0, 1, 1]]]), torch.tensor([0.0, 0.3]))
        tensor([[[0.6667, 1.0000]]])
    """
    values, shape = foreground_scores(probs, labels)
    every = probs.reshape(len(values), -1)
    rows = []
    for foreground, scores in zip(values, every, strict=True):
        hits, inside = _reached(foreground, thresholds), _reached(scores, thresholds)
        rows.append(precision_of_counts(hits, inside))
    return torch.stack(rows).reshape(*shape, -1)


def _reached(values: Tensor, thresholds: Tensor) -> Tensor:
    """How many of the values ``(N,)`` are at least each of the thresholds ``(G,)``, block by block."""
    ascending, order = thresholds.sort()
    counts = torch.zeros(len(ascending) + 1, dtype=torch.int64, device=values.device)
    for block in values.split(BLOCK):
        counts += torch.bincount(torch.bucketize(block.contiguous(), ascending, right=True), minlength=len(counts))
    reached = counts.flip(0).cumsum(0).flip(0)[1:]
    return torch.empty_like(reached).scatter_(0, order, reached)


def least_expected_gap(curves: Tensor, prices: Tensor) -> Tensor:
    r"""Index of the threshold with the least expected gap, after prices.

    .. math:: \hat k = \arg\min_k\; \hat G_k + \lambda\, \hat C_k - \mu\, \hat P_k

    with :math:`\hat G_k` the expected distance of coverage from its target at threshold k, :math:`\hat C_k` the
    expected coverage and :math:`\hat P_k` the expected precision. A hopeless image loses up to :math:`1 - \alpha` below
    the target and at most :math:`\alpha` above it, so that the least gap alone covers too much: :math:`\lambda` brings
    the mean back where it matters least. :math:`\mu` says how much gap a cleaner set is worth.

    Args:
        curves: expected gap, coverage and precision ``(B, 3, C, G)``.
        prices: :math:`\lambda` and :math:`\mu`, ``(2, C)``.

    Returns:
        Indices ``(B, C)``; the first of equals.

    Example:
        >>> curves = torch.tensor([[[[0.10, 0.05, 0.06]], [[1.0, 0.95, 0.85]], [[0.2, 0.5, 0.9]]]])
        >>> [int(least_expected_gap(curves, torch.tensor([[price], [0.0]]))) for price in (0.0, 0.2)]
        [1, 2]
    """
    total = curves[:, 0] + prices[0].unsqueeze(-1) * curves[:, 1] - prices[1].unsqueeze(-1) * curves[:, 2]
    return total.argmin(-1)
