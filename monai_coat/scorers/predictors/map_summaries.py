# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Summaries of a probability map: thirty numbers per class that tell easy images from hard ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["MapSummaries"]


class MapSummaries(nn.Module):
    r"""Quantiles, mass quantiles, mass and uncertainty of probability maps.

    Per class: logits of the probabilities of rank :math:`2^{-k} N`; logits of the thresholds above which a share q of
    the map's total probability lies (were the probabilities calibrated, the expected coverage there would be q); the
    logarithm of the mean probability; and the mean uncertainty :math:`1 - 2|p - 1/2|`. The order of pixels plays no
    part, not even in the last bit; nor does the size of the map, beyond rounding.

    Maps are not sorted but counted into bins of 1/1024 log odds, and a threshold is the mean of the pixels in its bin.
    A logit is divided by :attr:`scale`, so it is within 1/4096 of the one that sorting would find, and equal to it up
    to rounding where the bin holds a single value, as in 8-bit and saturated maps. The bin itself is the right one:
    ranks and shares of the mass are decided on whole numbers, with the mass of a pixel in units of :math:`2^{-34}`.
    The other summaries are within 3e-5, and that only of maps that are nearly zero everywhere.

    Beyond the maps, this takes about ten megabytes per class, whatever their size. A module that was traced, compiled
    or exported works on the whole batch at once and takes about seven times its memory.

    Gradients reach the map; that of a threshold is shared equally by the pixels of its bin. A map with a value that is
    NaN or infinite has NaN for all its summaries.

    Args:
        num_classes: channels of the probability map.

    Raises:
        ValueError: when called, if maps have no pixel, or 2^29 or more, whose mass does not fit an integer of 64 bits.
            A module that was traced, compiled or exported does not check it.

    Example:
        >>> summaries = MapSummaries(num_classes=1)
        >>> summaries(torch.rand(2, 1, 8, 8)).shape, summaries.num_features
        (torch.Size([2, 30]), 30)

    Source:
        ReCIRC (2026) regresses risk on quantiles of the map; CRA (2025) defines thresholds by shares of its mass.
    """

    # TorchScript sees no numbers of the file, only the constants of a class that are listed here.
    __constants__ = ("bins", "block", "highest", "per_logit", "scale", "unit")

    per_class = 16 + 12 + 2
    anchor = 16 + 7
    """Position, among a class's summaries, of the threshold above which 0.9 of the mass lies."""
    scale = 4.0
    """Logits are divided by it, so that all summaries have about the same size."""
    per_logit = 1024
    """Bins per unit of log odds."""
    bins = 2 * 9472
    """Number of bins: log odds from 9.25 down to -9.25, a little beyond the thresholds 1e-4 and 1 - 1e-4."""
    highest = 1 - 1678 * 2.0**-24
    """Highest threshold: what 1 - 1e-4 is in float32."""
    unit = 2.0**-34
    """What mass is counted in: no float32 from 2^-11 up has finer digits, and the mass of 2^29 pixels fits 63 bits."""
    block = 2**17
    """Pixels that are counted at a time, few enough for the processor's cache."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.octaves = nn.Buffer(2.0 ** -torch.arange(0.5, 8.5, 0.5), persistent=False)
        shares = torch.tensor([0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98, 0.99])
        self.shares = nn.Buffer(shares, persistent=False)
        self.num_features = num_classes * self.per_class

    def forward(self, probs: Tensor) -> Tensor:
        """Summaries ``(B, num_features)`` of maps ``(B, C, *spatial)`` with values in [0, 1]."""
        maps = probs.flatten(2).float()
        # A loop whose length depends on the size of the map cannot be traced or exported.
        if torch.jit.is_scripting() or not (torch.jit.is_tracing() or torch.compiler.is_compiling()):
            size = maps.shape[-1]
            if not 0 < size < 2**29:
                raise ValueError(f"probs must have between 1 and 2^29 - 1 pixels in a map, got {size}.")
            images = min(16, max(1, self.block // max(1, maps.shape[1] * size)))
            summaries = torch.cat([self._of_maps(part, in_blocks=True) for part in maps.split(images)])
        else:
            summaries = self._of_maps(maps, in_blocks=False)
        return summaries.flatten(1).to(probs.dtype)

    def _of_maps(self, maps: Tensor, in_blocks: bool) -> Tensor:
        """Summaries ``(B, C, per_class)`` of maps ``(B, C, N)``."""
        counts, mass = self._histogram(maps, in_blocks)
        size, total = maps.shape[-1], mass.sum(-1, keepdim=True)
        thresholds = torch.logit(self._thresholds(counts, mass, size, in_blocks)) / self.scale
        mean = torch.log(total / size + 1e-6)
        # Bins of the upper half have 1 - p, where those of the lower half have p.
        half = self.bins // 2
        upper = counts[:, :, :half].sum(-1, keepdim=True) - mass[:, :, :half].sum(-1, keepdim=True)
        uncertainty = 2 * (upper + mass[:, :, half:].sum(-1, keepdim=True)) / size
        # Thresholds are found by comparisons and integers, which NaN gets lost in; the total still knows of it.
        return torch.cat([thresholds, mean, uncertainty], -1).masked_fill(~torch.isfinite(total), float("nan"))

    def _thresholds(self, counts: Tensor, mass: Tensor, size: int, in_blocks: bool) -> Tensor:
        """Probabilities of the ranks, then those of the shares of the mass, in [1e-4, 1 - 1e-4]."""
        ranks = (self.octaves * size).long().clamp(max=size - 1) + 1
        # Running sums of whole numbers are the same on every device; those of floating point numbers are not.
        units = (mass / self.unit).long().cumsum(-1)
        # A map of zeros has no mass to share out: the tiny constant sends all its thresholds to the last bin.
        goals = torch.ceil(self.shares.double() * (units[:, :, -1:].double() + 1e-6 / self.unit)).long()
        places = torch.cat([_short(counts.cumsum(-1), ranks, in_blocks), _short(units, goals, in_blocks)], -1)
        places = places.clamp(max=self.bins - 1)
        means = mass.gather(-1, places) / counts.gather(-1, places).clamp(min=1)
        return means.clamp(1e-4, self.highest)

    def _histogram(self, maps: Tensor, in_blocks: bool) -> tuple[Tensor, Tensor]:
        """Pixels (int64) and their mass (float64) in each bin, ``(B, C, bins)``, from high probabilities to low."""
        batch, classes, size = maps.shape
        lanes, blocks = 1, [maps]
        if in_blocks:
            size = max(1, self.block // max(1, batch * classes))
            blocks = list(maps.split(size, -1))
            # Neighbours are often alike, and an addition waits for the one before it in the same bin: take turns.
            lanes = 4 if len(blocks) > 1 else 1
        counts = torch.zeros(batch, classes, lanes * self.bins, dtype=torch.int64, device=maps.device)
        mass = torch.zeros(batch, classes, lanes * self.bins, dtype=torch.float64, device=maps.device)
        turns = torch.arange(size, dtype=torch.int32, device=maps.device) % lanes * self.bins
        one = torch.ones(1, dtype=torch.int64, device=maps.device)
        for pixels in blocks:
            places = self._bins_of(pixels).add_(turns[: pixels.shape[-1]]).long()
            counts.scatter_add_(-1, places, one.expand(pixels.shape))
            # Adding and taking away 2^18 leaves whole units: sums of them are exact, in whatever order.
            mass.scatter_add_(-1, places, pixels.double().add_(2.0**18).sub_(2.0**18))
        counts, mass = counts.unflatten(-1, [lanes, self.bins]), mass.unflatten(-1, [lanes, self.bins])
        return counts.sum(-2), mass.sum(-2)

    def _bins_of(self, pixels: Tensor) -> Tensor:
        """The bin of each pixel, int32; 0.5 itself belongs to the lower half, and NaN falls into any bin."""
        log_odds = torch.logit(pixels.detach(), 1e-4)
        return log_odds.mul_(-self.per_logit).add_(self.bins // 2).int().clamp_(0, self.bins - 1)


def _short(sums: Tensor, goals: Tensor, search: bool) -> Tensor:
    """How many of the rising ``sums``, ``(B, C, n)``, fall short of each of ``goals``, ``(k,)`` or ``(B, C, k)``."""
    if search:
        return torch.searchsorted(sums, goals.expand(sums.shape[0], sums.shape[1], goals.shape[-1]).contiguous())
    return (sums.unsqueeze(-2) < goals.unsqueeze(-1)).sum(-1)  # ONNX has no search
