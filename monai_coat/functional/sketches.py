# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Foreground sketches: a few hundred numbers that stand for all foreground scores of an image in a loss."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.functional.foreground import foreground_scores

__all__ = ["foreground_sketch"]


def foreground_sketch(probs: Tensor, labels: Tensor, points: int = 512) -> Tensor:
    r"""Cut each image's sorted foreground into cells of equal weight and keep the mean of each.

    .. math:: q_k = K \int_{k/K}^{(k+1)/K} F^{-1}(u)\, du, \qquad k = 0, \dots, K - 1

    with :math:`F^{-1}` the quantile function of the foreground scores. For a predicted threshold,
    ``sketch - threshold`` is a margin map whose every point is foreground: the losses take it with ``labels=None``. The
    soft true positive rate is then off by at most :math:`1/K`, and from a hundred foreground pixels on typically by
    less than 1e-4 at a temperature of 0.05.

    Args:
        probs: probability maps ``(B, C, *spatial)``.
        labels: reference masks of the same shape, bool or {0, 1}.
        points: number of cells K, at least 1.

    Returns:
        Ascending sketches ``(B, C, points)`` in float32 on the CPU; NaN where an image has no foreground.

    Raises:
        TypeError: if ``probs`` is not floating point.
        ValueError: if ``points < 1``, shapes differ, scores are not finite, or labels hold anything but 0 and 1.

    Example:
        >>> foreground_sketch(torch.tensor([[[0.8, 0.2, 0.4, 0.6]]]), torch.ones(1, 1, 4), points=2)
        tensor([[[0.3000, 0.7000]]])
    """
    if points < 1:
        raise ValueError(f"points must be at least 1, got {points}; 512 keeps soft coverage within 1/512.")
    values, shape = foreground_scores(probs, labels)
    cells = [_cell_means(v.detach().cpu().numpy(), points) for v in values]
    return torch.from_numpy(np.stack(cells)).reshape(*shape, points)


def _cell_means(values: NDArray[np.floating], points: int) -> NDArray[np.float32]:
    """Differences of the integrated quantile function, which is linear between the ranks."""
    if not values.size:
        return np.full(points, math.nan, np.float32)
    integral = np.concatenate([[0.0], np.cumsum(np.sort(values), dtype=np.float64)])
    edges = np.interp(np.linspace(0.0, values.size, points + 1), np.arange(values.size + 1), integral)
    means: NDArray[np.float32] = (np.diff(edges) * (points / values.size)).astype(np.float32)
    return means
