# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A few numbers that say what a probability map is like: what two sets of images are compared by."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from monai_coat.calibration.risks import Risk
from monai_coat.functional import uncertain_share
from monai_coat.functional.checks import check_scores
from monai_coat.functional.foreground import plain
from monai_coat.functional.ranks import kth_largest

__all__ = ["FEATURES", "counted_presence", "map_features"]

FEATURES = (
    "predicted share",
    "mean probability inside",
    "uncertain share",
    "largest probability",
    "probability at 1 %",
    "probability at 10 %",
)
"""Names of the columns of :func:`map_features`."""


def map_features(maps: Tensor) -> Tensor:
    r"""Features of the probability maps of one image, for each class: what needs no label.

    They are the share of the image with :math:`p \ge 1/2`; the mean of p there, or 0; the uncertain share
    :math:`\sum \min(p, 1 - p) / \sum p`; the largest p; and the p that 1 % and 10 % of the pixels reach.

    Args:
        maps: probability maps ``(C, *spatial)`` in [0, 1], floating point.

    Returns:
        float32 ``(C, 6)``, in the order of :data:`FEATURES`.

    Raises:
        TypeError: if ``maps`` is not floating point.
        ValueError: if ``maps`` is not finite.

    Example:
        >>> map_features(torch.tensor([[1.0, 0.5, 0.25, 0.25]]))
        tensor([[0.5000, 0.7500, 0.5000, 1.0000, 1.0000, 1.0000]])
    """
    maps = plain(maps)
    check_scores(maps[None], "maps")
    rows = maps.detach().float().flatten(1)
    inside = rows >= 0.5
    count = inside.sum(1)
    ranks = [max(1, math.ceil(share * rows.shape[1])) for share in (0.01, 0.1)]
    reached = [torch.cat([kth_largest(row, rank) for row in rows]) for rank in ranks]
    columns = [
        count / rows.shape[1],
        (rows * inside).sum(1) / count.clamp(min=1),
        uncertain_share(rows[None])[0],
        rows.amax(1),
        *reached,
    ]
    return torch.stack([column.float() for column in columns], 1)


def counted_presence(risk: Risk) -> tuple[bool, bool]:
    """Whether images without a class, and images with it, count for a risk.

    Example:
        >>> from monai_coat.calibration import FalseNegativeRate, VolumeUnderestimated
        >>> counted_presence(FalseNegativeRate()), counted_presence(VolumeUnderestimated())
        ((False, True), (True, True))
    """
    labels = torch.tensor([[[0.0, 0.0]], [[0.0, 1.0]]])
    without, with_it = risk.image_risk(torch.zeros_like(labels), labels, 0.5).isnan().flatten().tolist()
    return not without, not with_it
