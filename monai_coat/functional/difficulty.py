# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The difficulty of an image, seen from its probability map alone."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_coat.functional.checks import check_scores
from monai_coat.functional.foreground import plain

__all__ = ["uncertain_share"]


def uncertain_share(probs: Tensor) -> Tensor:
    r"""Share of the predicted mass that is uncertain, :math:`\sum_j \min(p_j, 1 - p_j) / \sum_j p_j`.

    Needs no label. 0 for a map of zeros and ones, towards 1 for a map that is faint everywhere; unlike the mean
    uncertainty it does not grow with the size of the object.

    Args:
        probs: probability maps ``(B, C, *spatial)`` in [0, 1].

    Returns:
        Shares ``(B, C)``; 1 for a map of zeros.

    Raises:
        TypeError: if ``probs`` is not floating point.
        ValueError: if ``probs`` is not finite.

    Example:
        >>> uncertain_share(torch.tensor([[[1.0, 0.75, 0.25, 0.0]]]))
        tensor([[0.2500]])
    """
    probs = plain(probs)
    check_scores(probs, "probs")
    flat = probs.float().flatten(2)
    mass = flat.sum(-1)
    return torch.where(mass > 0, torch.minimum(flat, 1 - flat).sum(-1) / mass, 1.0)
