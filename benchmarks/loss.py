# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""SoftTPRLoss against the sigmoid of the whole map, forward and backward."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.timing import Row, alternate
from monai_coat.functional import foreground_sketch
from monai_coat.losses import SoftTPRLoss

TEMPERATURE = 0.05


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


def run(rounds: int = 31) -> list[Row]:
    """Measure with one thread, with respect to the threshold of each image."""
    torch.set_num_threads(1)
    rows = []
    for shape in ((8, 1, 352, 352), (2, 1, 128, 128, 128)):
        probs, labels = make_batch(shape)
        sketch, loss = foreground_sketch(probs, labels), SoftTPRLoss(alpha=0.1, temperature=TEMPERATURE)
        spread = (*shape[:2], *[1] * (len(shape) - 2))

        def step(kind: str, probs: Tensor = probs, labels: Tensor = labels, spread=spread, sketch=sketch, loss=loss):
            threshold = torch.full(spread[:2], 0.4, requires_grad=True)
            if kind == "sketch":
                value = loss(sketch - threshold[..., None], None)
            else:
                value = (full_map if kind == "full" else loss)(probs - threshold.reshape(spread), labels)
            value.backward()
            return value.detach(), threshold.grad

        times = alternate({kind: lambda kind=kind: step(kind) for kind in ("full", "ours", "sketch")}, rounds)
        (value, gradient), (ours, our_gradient), (short, _) = step("full"), step("ours"), step("sketch")
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
