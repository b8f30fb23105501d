# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a probability map says about its own difficulty, without a label."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["MapSummaries"]


class MapSummaries(nn.Module):
    r"""Quantiles, mass quantiles, mass and uncertainty of probability maps.

    Per class: logits of the probabilities of rank :math:`2^{-k} N`; logits of the thresholds above which a share q of
    the map's total probability lies (were the probabilities calibrated, the expected coverage there would be q); the
    logarithm of the mean probability; and the mean uncertainty :math:`1 - 2|p - 1/2|`. The order of pixels plays no
    part, nor does the size of the map beyond rounding.

    Args:
        num_classes: channels of the probability map.

    Example:
        >>> summaries = MapSummaries(num_classes=1)
        >>> summaries(torch.rand(2, 1, 8, 8)).shape, summaries.num_features
        (torch.Size([2, 30]), 30)

    Source:
        ReCIRC (2026) regresses risk on quantiles of the map; CRA (2025) defines thresholds by shares of its mass.
    """

    per_class = 16 + 12 + 2
    anchor = 16 + 7
    """Position, among a class's summaries, of the threshold above which 0.9 of the mass lies."""
    scale = 4.0
    """Logits are divided by it, so that all summaries have about the same size."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.octaves = nn.Buffer(2.0 ** -torch.arange(0.5, 8.5, 0.5), persistent=False)
        shares = torch.tensor([0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98, 0.99])
        self.shares = nn.Buffer(shares, persistent=False)
        self.num_features = num_classes * self.per_class

    def forward(self, probs: Tensor) -> Tensor:
        """Summaries ``(B, num_features)`` of maps ``(B, C, *spatial)`` with values in [0, 1]."""
        values = torch.sort(probs.flatten(2), dim=-1, descending=True).values
        size = values.shape[-1]
        ranks = (self.octaves * size).long().clamp(max=size - 1)
        mass = values.cumsum(-1)
        # A map of zeros has no mass to share out: the tiny constant sends all its thresholds to the last pixel.
        reached = mass.unsqueeze(-2) >= self.shares.unsqueeze(-1) * (mass[:, :, -1:] + 1e-6).unsqueeze(-1)
        shared = (~reached).sum(-1).clamp(max=size - 1)
        thresholds = torch.cat([values.index_select(-1, ranks), values.gather(-1, shared)], -1).clamp(1e-4, 1 - 1e-4)
        mean = torch.log(values.mean(-1, keepdim=True) + 1e-6)
        uncertainty = (1 - 2 * (values - 0.5).abs()).mean(-1, keepdim=True)
        return torch.cat([torch.logit(thresholds) / 4.0, mean, uncertainty], -1).flatten(1)
