# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Maps of the distance to a mask's boundary, for tools that give masks and no probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms.utils import distance_transform_edt
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["DISTANCE_SCALE", "distance_map", "margin_of"]

DISTANCE_SCALE = 4.0
"""Millimetres, or pixels, that one unit of log odds stands for."""


def distance_map(masks: Tensor, spacing: Sequence[float], scale: float = DISTANCE_SCALE) -> Tensor:
    r"""The signed distance to the boundary of a mask, as a number in [0, 1] that is used like a probability.

    .. math:: p_j = \sigma(d_j / s)

    with :math:`d_j` the distance, between centres of voxels, from a voxel inside the mask to the nearest outside, or
    minus the distance from one outside to the nearest inside. A set ``{p >= cutoff}`` is the mask grown by a margin, or
    shrunk where the cutoff is above 1/2, see :func:`margin_of`. All scorers, thresholds that are learned per image
    among them, work on it as on probabilities.

    Args:
        masks: ``(C, *spatial)`` of two or three axes, bool or {0, 1}.
        spacing: distance of voxels along each spatial axis, in millimetres; 1 for pixels.
        scale: s, in the unit of the spacing.

    Returns:
        Map of the same shape in float32; 0 for a class that is nowhere, 1 for one that is everywhere.

    Raises:
        RuntimeError: by MONAI, without SciPy, which the extra ``methods`` installs.

    Example:
        >>> distance_map(torch.tensor([[[0, 0, 1, 1, 0]]]), spacing=(1.0, 4.0)).round(decimals=3)
        tensor([[[0.1190, 0.2690, 0.7310, 0.7310, 0.2690]]])
    """
    return torch.stack([_of_class(mask.bool().cpu().numpy(), tuple(spacing), scale) for mask in masks])


def _of_class(mask: NDArray[np.bool_], spacing: tuple[float, ...], scale: float) -> Tensor:
    if not mask.any() or mask.all():
        return torch.full(mask.shape, float(mask.any()))
    distance, outside = (_distance(side, spacing) for side in (mask, ~mask))
    return torch.sigmoid(torch.from_numpy((distance - outside) / scale)).float()


def _distance(mask: NDArray[np.bool_], spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Distance of the voxels inside a mask to its outside, 0 outside."""
    transformed: Any = distance_transform_edt(mask[None], sampling=list(spacing))
    return np.asarray(transformed[0], np.float64)


def margin_of(threshold: float, scale: float = DISTANCE_SCALE) -> float:
    """How far a set ``{p >= threshold}`` reaches beyond the mask, in the unit of its spacing; negative if it is within.

    Example:
        >>> round(margin_of(0.2689414), 3), margin_of(0.0)
        (4.0, inf)
    """
    return -scale * float(torch.logit(torch.tensor(threshold, dtype=torch.float64)))
