# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is kept of an image that thresholds are learned from: its true curves, and what is to be made small on them.

Tested by tests/scorers/test_expected_gap.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.utils import StrEnum
from torch import Tensor

from monai_coat.functional import (
    KernelRidge,
    coverage_curves,
    coverage_gap,
    foreground_sketch,
    placed_logits,
    precision_curves,
    soft_true_positive_rate,
    target_coverage,
    temperature_of_spread,
)
from monai_coat.functional.foreground import plain

__all__ = [
    "KEPT",
    "STEPS",
    "ThresholdObjective",
    "curves_left_out",
    "curves_on",
    "group_numbers",
    "ladder_of",
    "objective_on",
    "observed_curves",
]

SKETCHED, BELOW = 256, 64
KEPT, STEPS = BELOW + SKETCHED, 97
"""Points that are kept of the curves of an image, and thresholds that it is chosen among."""
WHOLE, LOWEST = -100.0, -34.0
"""Below every placed log odds, and below those that are nearer to anything seen than the longest side."""


class ThresholdObjective(StrEnum):
    """What an image's threshold is to make small.

    COVERAGE_GAP: the distance of its coverage from the target, as in MEG.
    SOFT_TPR: the loss of COAT, the squared distance of its soft coverage, at a temperature of half the median spread of
    an image's foreground (:func:`~monai_coat.functional.temperature_of_spread`).
    """

    COVERAGE_GAP = "coverage_gap"
    SOFT_TPR = "soft_tpr"


def observed_curves(probs: Tensor, labels: Tensor) -> Tensor:
    """Placed log odds, and the precision of cutting there, ``(B, C, 2, 64 + 256)``, ascending.

    First 64 steps up to the foreground, then 256 of its quantiles; NaN where there is none.
    """
    placed, masks = placed_logits(plain(probs).float()), plain(labels)
    sketches = foreground_sketch(placed, masks, SKETCHED)
    below = LOWEST + torch.linspace(0, 1, BELOW) * (sketches[..., :1] - LOWEST)
    points = torch.cat([below, sketches], -1)
    rows = []
    for scores, mask, edges in zip(placed.flatten(0, 1), masks.flatten(0, 1), points.flatten(0, 1), strict=True):
        rows.append(precision_curves(scores[None, None], mask[None, None], edges)[0, 0])
    return torch.stack([points, torch.stack(rows).reshape(points.shape)], 2)


def ladder_of(observed: Tensor) -> Tensor:
    """Thresholds ``(97,)``: the whole image, then those between which there is an equal share of all foreground."""
    shares = torch.linspace(0, 1, STEPS - 1, dtype=torch.float64)
    steps = torch.quantile(observed[:, 0, BELOW:].flatten().double(), shares).float().unique()
    above = steps[-1] + torch.arange(1.0, STEPS - len(steps))
    return torch.cat([torch.tensor([WHOLE]), steps, above])


def curves_on(observed: Tensor, ladder: Tensor) -> tuple[Tensor, Tensor]:
    """True coverage and precision ``(N, steps)`` of images ``(N, 2, 320)`` at each step of a ladder."""
    points, precision = observed.unbind(1)
    reached = torch.searchsorted(points.contiguous(), ladder.repeat(len(points), 1))
    return coverage_curves(points[:, BELOW:], ladder), precision.gather(1, reached.clamp(max=KEPT - 1))


def objective_on(observed: Tensor, ladder: Tensor, alpha: float, objective: str) -> Tensor:
    """What is to be small, ``(N, steps)``, of images ``(N, 2, 320)`` at each step of a ladder."""
    if objective == ThresholdObjective.COVERAGE_GAP:
        return coverage_gap(curves_on(observed, ladder)[0], alpha)
    sketches = observed[:, :1, BELOW:]
    temperature = temperature_of_spread(sketches)
    soft = [soft_true_positive_rate(sketches - step, None, temperature) for step in ladder]
    return (torch.cat(soft, 1) - target_coverage(alpha)).pow(2)


def curves_left_out(
    observed: Tensor, ladder: Tensor, groups: Tensor, ridge: KernelRidge, alpha: float, objective: str
) -> tuple[Tensor, Tensor, Tensor]:
    """True curves of images, those that are learned, and those that are expected of them by other groups.

    Returns:
        Gap, coverage and precision; objective, coverage and precision; and the latter as the regression expects them
        of images left out, ``(N, 3, steps)`` each.
    """
    coverage, precision = curves_on(observed, ladder)
    true = torch.stack([coverage_gap(coverage, alpha), coverage, precision], 1)
    learned = torch.stack([objective_on(observed, ladder, alpha, objective), coverage, precision], 1)
    unseen = ridge.left_out(learned.flatten(1), groups).reshape(true.shape)
    unseen[:, 1] = unseen[:, 1].cummin(-1).values
    return true, learned, unseen


def group_numbers(groups: Sequence[str] | None, count: int) -> Tensor:
    """A whole number for each image, the same for those of one group.

    Raises:
        ValueError: if there are not as many names as images.
    """
    if groups is None:
        return torch.arange(count)
    if len(groups) != count:
        raise ValueError(f"groups must name one for each image, got {len(groups)} for {count} images; name them all.")
    places = {name: place for place, name in enumerate(dict.fromkeys(groups))}
    return torch.tensor([places[name] for name in groups])
