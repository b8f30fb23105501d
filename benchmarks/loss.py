# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""SoftTPRLoss against the sigmoid of the whole map, forward and backward, from margin maps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.timing import Row, alternate
from monai_coat.functional import foreground_sketch
from monai_coat.losses import SoftTPRLoss

TEMPERATURE, THRESHOLD = 0.05, 0.4


def make_batch(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Probabilities, and balls of 15 % of the image."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.meshgrid(*(torch.linspace(-1, 1, s) for s in shape[2:]), indexing="ij")
    radius = sum(a**2 for a in axes)
    mask = radius <= radius.flatten().kthvalue(int(0.15 * radius.numel())).values
    return torch.rand(shape, generator=generator), mask.float().expand(shape).contiguous()


def full_map(scores: Tensor, labels: Tensor) -> Tensor:
    """The loss as the paper writes it."""
    soft = torch.sigmoid(scores / TEMPERATURE) * labels
    return ((soft.flatten(2).sum(-1) / labels.flatten(2).sum(-1) - 0.9) ** 2).mean()


def step(loss: Callable[[Tensor, Tensor | None], Tensor], margins: Tensor, labels: Tensor | None):
    """Value of the loss, and its gradient with respect to the margins."""
    margins = margins.detach().requires_grad_()
    value = loss(margins, labels)
    value.backward()
    return value.detach(), margins.grad


def run(rounds: int = 31) -> list[Row]:
    """Measure with one thread."""
    torch.set_num_threads(1)
    loss = SoftTPRLoss(alpha=0.1, temperature=TEMPERATURE)
    rows = []
    for shape in ((8, 1, 352, 352), (2, 1, 128, 128, 128)):
        probs, labels = make_batch(shape)
        margins, sketch = probs - THRESHOLD, foreground_sketch(probs, labels) - THRESHOLD
        contestants = {
            "full": (full_map, margins, labels),
            "ours": (loss, margins, labels),
            "sketch": (loss, sketch, None),
        }
        times = alternate({name: partial(step, *each) for name, each in contestants.items()}, rounds)
        (value, gradient), (ours, our_gradient), (short, _) = (step(*each) for each in contestants.values())
        error = float(torch.maximum((value - ours).abs(), (gradient - our_gradient).abs().max()))
        faster, much_faster = times["full"].over(times["ours"]), times["full"].over(times["sketch"])
        off = float((value - short).abs())
        name = "x".join(map(str, shape))
        rows += [
            Row(f"{name}: whole map / SoftTPRLoss", faster, "at least 2.5", faster >= 2.5),
            Row(f"{name}: difference of value and gradient", error, "at most 1e-6", error <= 1e-6),
            Row(f"{name}: whole map / sketch of 512 points", much_faster, "at least 50", much_faster >= 50),
            Row(f"{name}: difference of the sketch's loss", off, "at most 1e-4", off <= 1e-4),
        ]
    return rows
