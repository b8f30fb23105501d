# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scores that rank the pixels of a map in the same order on another scale: log odds, expected coverage, float32."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["expected_coverage_scores", "float32_below", "logit_scores"]

BLOCK = 2**22
"""Pixels that are turned into log odds at a time."""


def logit_scores(probs: Tensor, eps: float = 1e-6) -> Tensor:
    r"""Log odds, :math:`\ln\frac{p}{1 - p}`, of probabilities that are first clipped to ``[eps, 1 - eps]``.

    Probabilities that crowd at 0 and 1 are spread, so that a threshold has room between them. Pixels that the clip
    makes equal are ties, and cut together.

    Args:
        probs: probability maps in [0, 1], any shape.
        eps: positive; 1e-6 bounds the scores by 13.8.

    Returns:
        Scores in float32 of the shape of ``probs``, monotone in the probability.

    Example:
        >>> logit_scores(torch.tensor([0.0, 0.5, 0.9]))
        tensor([-13.8155,   0.0000,   2.1972])
    """
    if not torch.jit.is_scripting():  # noqa: SIM102  scripting must not see what is below
        if _in_blocks(probs):
            return _logits_in_blocks(probs, eps)
    # In float64, for one minus 1e-6 is not a float32 number.
    return torch.logit(probs.double(), eps).float()


@torch.jit.unused
def _in_blocks(probs: Tensor) -> bool:
    """Whether a map is so large that double precision of all of it would fill the memory."""
    plain = not (torch.jit.is_tracing() or torch.compiler.is_compiling())
    return plain and type(probs) is Tensor and not probs.requires_grad and probs.numel() > BLOCK


@torch.jit.unused
def _logits_in_blocks(probs: Tensor, eps: float) -> Tensor:
    scores = torch.empty(probs.shape, device=probs.device)
    for block, target in zip(probs.reshape(-1).split(BLOCK), scores.view(-1).split(BLOCK), strict=True):
        target.copy_(torch.logit(block.double(), eps))
    return scores


def expected_coverage_scores(probs: Tensor) -> Tensor:
    r"""The share of a map's probability mass that is not yet taken when a pixel is reached from the top.

    .. math:: s_j = 1 - \frac{\sum_{k : p_k > p_j} p_k}{\sum_k p_k}

    over the pixels of one image and class. Equal probabilities have equal scores, the largest has 1, and the order of
    pixels is kept. Were the probabilities calibrated, the mass of a set would be the foreground it holds on average:
    :math:`\{s \ge c\}` is the smallest set, in whole levels of equal probability, with more than :math:`1 - c` of it.

    Args:
        probs: probability maps ``(B, C, *spatial)`` in [0, 1].

    Returns:
        Scores in [0, 1] in float32, of the same shape and without gradient; 1 everywhere on a map of zeros, which says
        nothing about where to begin; NaN everywhere on a map with NaN.

    Example:
        >>> expected_coverage_scores(torch.tensor([[[0.5, 0.25, 0.25, 0.0]]]))
        tensor([[[1.0000, 0.5000, 0.5000, 0.0000]]])

    Source:
        CRA (2025), thresholds by shares of the map's mass; there in steps of one pixel.
    """
    # Sums of many small numbers, and their differences, decide the order: in float64.
    values = probs.detach().double().flatten(2)
    ascending = torch.sort(values, dim=-1).values
    mass = torch.cumsum(ascending, -1)
    last_equal = torch.searchsorted(ascending, values, right=True) - 1
    left = torch.gather(mass, -1, last_equal) / mass[:, :, -1:]
    # A map of zeros has no mass; NaN in a map is no such case, and stays for whoever checks the scores.
    return left.masked_fill(mass[:, :, -1:] == 0, 1.0).float().reshape(probs.shape)


def float32_below(scores: Tensor) -> Tensor:
    """The largest float32 not above each score: it passes a float32 cutoff if and only if the score itself does.

    Rounding to the nearest would lift scores just below a cutoff onto it.

    Args:
        scores: any shape.

    Returns:
        Float32; of narrower types the very numbers.

    Raises:
        ValueError: if a score is below the range of float32.

    Example:
        >>> float32_below(torch.tensor([1 - 1e-9], dtype=torch.float64)) < 1
        tensor([True])
    """
    if scores.dtype != torch.float64:
        return scores.float()
    if bool((scores < torch.finfo(torch.float32).min).any()):
        raise ValueError(f"scores must be within the range of float32, got {float(scores.min()):g}; scale them.")
    nearest = scores.float()
    return torch.where(nearest > scores, nearest.nextafter(torch.full_like(nearest, -math.inf)), nearest)
