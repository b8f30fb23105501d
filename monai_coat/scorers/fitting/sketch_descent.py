# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Thresholds of several classes learned from a stream of maps of any size, of which only sketches are kept."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from monai_coat.functional import foreground_sketch
from monai_coat.functional.foreground import plain
from monai_coat.scorers.margin import MarginScorer
from monai_coat.scorers.predictors.sketch_margins import SketchMargins

__all__ = ["fit_margins"]

BATCH, POINTS, RATE = 64, 256, 3e-3


def fit_margins(
    scorer: MarginScorer,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: nn.Module,
    seed: int = 0,
    epochs: int = 300,
) -> tuple[float, ...]:
    """Train a scorer's threshold predictor by gradient descent, in seconds.

    Args:
        scorer: scorer whose :class:`~monai_coat.scorers.ThresholdPredictor` has the backbone "none".
        batches: probability maps ``(B, C, *spatial)`` and masks of the same shape, which are seen once.
        loss: a loss of margins, see :mod:`monai_coat.losses`.
        seed: of the order of images.
        epochs: passes over the sketches.

    Returns:
        The mean loss of each epoch.

    Raises:
        TypeError: if the scorer has another predictor.
        ValueError: if there is no batch.

    Example:
        >>> from monai_coat.losses import SoftTPRLoss
        >>> from monai_coat.scorers import ThresholdPredictor
        >>> scorer = MarginScorer(ThresholdPredictor(2, 1, backbone="none"))
        >>> maps = [(torch.rand(8, 1, 16, 16), torch.rand(8, 1, 16, 16) < 0.5) for _ in range(4)]
        >>> losses = fit_margins(scorer, maps, SoftTPRLoss(alpha=0.1), epochs=20)
        >>> losses[-1] < losses[0]
        True
    """
    margins = SketchMargins(scorer)
    predictor: Any = scorer.predictor
    summaries, sketches, present = _seen(predictor, batches)
    optimizer = torch.optim.AdamW(predictor.parameters(), RATE, weight_decay=0.01)
    steps = epochs * math.ceil(len(summaries) / BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    losses = []
    predictor.train()
    for _ in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(summaries), generator=generator).split(BATCH):
            value = loss(margins(summaries[rows], sketches[rows]), present[rows])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
            total += value.item() * len(rows)
        losses.append(total / len(summaries))
    scorer.eval()
    return tuple(losses)


@torch.no_grad()
def _seen(predictor: Any, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Of each image the summaries of its maps, the sketches of its foreground, and where there are any."""
    device = next(predictor.parameters()).device
    rows: list[tuple[Tensor, Tensor]] = []
    for probs, labels in batches:
        maps = plain(probs).float()
        rows.append((predictor.map_summaries(maps.to(device)), foreground_sketch(maps, plain(labels), POINTS)))
    if not rows:
        raise ValueError("batches must hold at least one batch of maps, got none; add images to learn from.")
    summaries, sketches = (torch.cat(parts) for parts in zip(*rows, strict=True))
    present = ~torch.isnan(sketches)
    return summaries, torch.where(present, sketches, 0.0).to(device), present.float().to(device)
