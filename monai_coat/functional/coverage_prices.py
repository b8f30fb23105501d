# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The price on coverage at which an image's best threshold passes a pixel: scores by which prices are calibrated."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["HIGHEST_PRICE", "price_levels", "price_scores"]

HIGHEST_PRICE = 100.0
"""Prices are within this and minus this: at 100, a hundredth of coverage outweighs any gap."""
SHARE = 0.01
"""How much of a step between two prices is for the order of pixels in it, at most."""
STRICT = 1e-3
"""How much a curve of coverage falls from end to end at least, so that no two thresholds are the same."""
TAIL = 100.0
"""Length of the last step, in the unit of the scores."""
BLOCK = 2**20


def price_levels(cost: Tensor, coverage: Tensor, highest: float = HIGHEST_PRICE, strict: float = STRICT) -> Tensor:
    r"""The highest price on coverage at which the best of a ladder of thresholds is still this one or a lower one.

    .. math:: \Lambda_k = \max\{\lambda : \hat k(\lambda) \le k\}
        = \max_{i \le k}\, \min_{j > k}\, \frac{A_j - A_i}{C_i - C_j},
        \qquad \hat k(\lambda) = \arg\min_k\, A_k + \lambda C_k

    The best threshold rises with the price, since what covers less is cheaper. Its steps are corners of the lower hull
    of the points (coverage, cost), and the slopes between them are the prices.

    Args:
        cost: A, what is to be small at each threshold beside the price, such as the expected coverage gap, ``(..., K)``
            over ascending thresholds.
        coverage: C, expected coverage ``(..., K)``; where it rises, what it was before is taken.
        highest: prices are within this and minus this.
        strict: how much coverage falls from end to end at least.

    Returns:
        Prices ``(..., K)``, non-decreasing along the ladder, within plus and minus ``highest``.

    Example:
        >>> price_levels(torch.tensor([0.10, 0.05, 0.06]), torch.tensor([1.0, 0.95, 0.85])).round(decimals=1)
        tensor([ -1.0000,   0.1000, 100.0000])
    """
    steps = coverage.shape[-1]
    cost, falling = cost.double(), torch.cummin(coverage.double(), -1)[0]
    falling = falling - strict * torch.linspace(0, 1, steps, dtype=falling.dtype, device=coverage.device)
    slopes = (cost.unsqueeze(-2) - cost.unsqueeze(-1)) / (falling.unsqueeze(-1) - falling.unsqueeze(-2))
    place = torch.arange(steps, device=coverage.device)
    later = place.unsqueeze(0) > place.unsqueeze(1)
    slopes = slopes.masked_fill(~later, highest)
    least = torch.cummin(slopes.flip(-1), -1)[0].flip(-1)  # over all thresholds from the second index on
    after = torch.cat([least[..., 1:], torch.full_like(least[..., :1], highest)], -1)
    levels = after.masked_fill(place.unsqueeze(0) < place.unsqueeze(1), -highest).amax(-2)
    return torch.cummax(levels.clamp(-highest, highest), -1)[0].float()


def price_scores(scores: Tensor, ladder: Tensor, levels: Tensor) -> Tensor:
    r"""Each pixel's price: the highest at which the best threshold of its image is not above its score.

    .. math:: \tilde s_j = \Lambda_{k(j)} + \delta_{k(j)}\, u_j, \qquad t_{k(j)} \le s_j < t_{k(j) + 1}

    A set :math:`\{\tilde s \ge \lambda\}` is the cut of the scores at the best threshold for the price
    :math:`\lambda`, so that one calibrated price gives each image its own threshold. Between two prices pixels keep
    their order: u in [0, 1] is how far a score is on the way from the one threshold to the next that is ever the best,
    and :math:`\delta` at most 0.01 and half the step of the price.

    Args:
        scores: score maps ``(B, C, *spatial)``.
        ladder: thresholds t of each class, ascending without repeats, ``(C, K)``.
        levels: from :func:`price_levels`, ``(B, C, K)``.

    Returns:
        Scores in float32 of the shape of ``scores``, non-decreasing in them within an image and class.

    Example:
        >>> levels = torch.tensor([[[-1.0, 0.1, 100.0]]])
        >>> price_scores(torch.tensor([[[-2.0, 0.5, 3.0]]]), torch.tensor([[-9.0, 0.0, 2.0]]), levels).round(decimals=1)
        tensor([[[ -1.0000,   0.1000, 100.0000]]])
    """
    edges = ladder.expand(levels.shape)
    rate, offset = _lines(edges, levels)
    rows, edges = scores.flatten(0, 1).flatten(1), edges.flatten(0, 1).contiguous()
    rate, offset = rate.flatten(0, 1), offset.flatten(0, 1)
    if not torch.jit.is_scripting():  # noqa: SIM102  scripting must not see what is below
        if not (torch.jit.is_tracing() or torch.compiler.is_compiling()):
            parts = rows.split(max(1, BLOCK // len(rows)), 1)
            return torch.cat([_priced(part, edges, rate, offset) for part in parts], 1).reshape(scores.shape)
    return _priced(rows, edges, rate, offset).reshape(scores.shape)


def _lines(
    edges: Tensor, levels: Tensor, highest: float = HIGHEST_PRICE, share: float = SHARE, tail: float = TAIL
) -> tuple[Tensor, Tensor]:
    """Slope and offset ``(B, C, K)`` of the line from score to price on each step of the ladder."""
    steps = levels.shape[-1]
    place = torch.arange(steps, device=levels.device).expand(levels.shape)
    new = torch.cat([torch.ones_like(levels[..., :1]), (levels.diff(dim=-1) > 0).to(levels.dtype)], -1) > 0
    start = torch.cummax(torch.where(new, place, 0), -1)[0]
    ends = torch.where(new, place, steps)
    after = torch.cat([ends[..., 1:], torch.full_like(ends[..., :1], steps)], -1)
    end = torch.cummin(after.flip(-1), -1)[0].flip(-1)
    higher = torch.cat([levels, torch.full_like(levels[..., :1], 2 * highest)], -1).gather(-1, end)
    first = edges.gather(-1, start)
    length = torch.cat([edges, edges[..., -1:] + tail], -1).gather(-1, end) - first
    rate = ((higher - levels) / 2).clamp(max=share) / length
    return rate, levels - rate * first


def _priced(rows: Tensor, edges: Tensor, rate: Tensor, offset: Tensor, tail: float = TAIL) -> Tensor:
    """Prices of scores ``(R, N)``, on the lines ``(R, K)`` of their rows."""
    inside = torch.minimum(torch.maximum(rows.float(), edges[:, :1]), edges[:, -1:] + tail).contiguous()
    step = (torch.searchsorted(edges, inside, right=True) - 1).clamp(min=0)
    return offset.gather(1, step) + rate.gather(1, step) * inside
