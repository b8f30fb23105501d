# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The order of pixels where probabilities are saturated and say none: by place."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from monai_coat.functional.scores import logit_scores

__all__ = ["SATURATED", "depth_inside", "place_order", "placed_logits"]

SATURATED = 1e-6
"""A probability this near to 0 or 1 has no log odds of its own, see :func:`~monai_coat.functional.logit_scores`."""
SLOPE = 20.0
"""Log odds that a distance of the longest side stands for."""


def depth_inside(mask: Tensor, block: int = 1) -> Tensor:
    r"""Steps from a pixel of a mask to the nearest pixel outside, along the axes (city-block distance).

    It is found by running minima along each axis, forwards and back, on every device and without SciPy.

    Args:
        mask: bool, ``(B, C, *spatial)`` in 1D to 3D.
        block: edge of cubes of pixels that are counted as one, which is faster: they share a depth, and it is 0 where
            any of them is outside.

    Returns:
        Numbers of steps in float32, of the same shape; 0 outside, and 0 everywhere on a map without an outside, which
        has no place to count from.

    Example:
        >>> depth_inside(torch.tensor([[[True, True, False, True]]]))
        tensor([[[2., 1., 0., 1.]]])
        >>> depth_inside(torch.tensor([[[True, True, True, True, False]]]), block=2)
        tensor([[[4., 4., 2., 2., 0.]]])
    """
    if block == 1:
        return _depth(mask)
    depth = block * _depth(_all_of_blocks(mask, block))
    for axis in range(2, mask.dim()):
        depth = depth.repeat_interleave(block, axis).narrow(axis, 0, mask.shape[axis])
    return depth


def _all_of_blocks(mask: Tensor, block: int) -> Tensor:
    """Whether all pixels of each cube are in the mask; cubes at the far edges may be cut short."""
    outside = (~mask).to(torch.float32)
    if mask.dim() == 3:
        return functional.max_pool1d(outside, block, ceil_mode=True) == 0
    if mask.dim() == 4:
        return functional.max_pool2d(outside, block, ceil_mode=True) == 0
    return functional.max_pool3d(outside, block, ceil_mode=True) == 0


def _depth(mask: Tensor) -> Tensor:
    far = float(sum(mask.shape[2:]))
    depth = torch.where(mask, far, 0.0)
    for axis in range(2, mask.dim()):
        sizes = [1] * mask.dim()
        sizes[axis] = mask.shape[axis]
        place = torch.arange(mask.shape[axis], dtype=torch.float32, device=mask.device).reshape(sizes)
        ahead = torch.cummin(depth - place, axis)[0] + place
        behind = torch.cummin((depth + place).flip(axis), axis)[0].flip(axis) - place
        depth = torch.minimum(ahead, behind)
    return depth.masked_fill(depth >= far, 0.0)


def place_order(probs: Tensor, saturated: float = SATURATED) -> Tensor:
    r"""A number that orders pixels whose probabilities are saturated by where they are.

    .. math:: o_j = d^1_j - d^0_j

    :math:`d^0` is the depth of a pixel inside :math:`\{p \le 10^{-6}\}`, so that what is far from anything seen comes
    last, and :math:`d^1` that inside :math:`\{p \ge 1 - 10^{-6}\}`, so that the middle of what is sure comes first;
    both by :func:`depth_inside`, as a share of the longest side of the map. Other pixels have 0.

    Maps of more than a million pixels are counted in cubes of four pixels a side.

    Args:
        probs: probability maps ``(B, C, *spatial)`` in [0, 1].
        saturated: what counts as 0, and 1 minus it as 1.

    Returns:
        Numbers in float32 of the same shape.

    Example:
        >>> place_order(torch.tensor([[[0.0, 0.0, 0.5, 1.0]]]))
        tensor([[[-0.5000, -0.2500,  0.0000,  0.2500]]])
    """
    longest, pixels = 1, 1
    for size in probs.shape[2:]:
        longest, pixels = max(longest, size), pixels * size
    block = 4 if pixels > 2**20 else 1
    order = depth_inside(probs >= 1 - saturated, block)
    return order.sub_(depth_inside(probs <= saturated, block)).div_(float(longest))


def placed_logits(probs: Tensor, slope: float = SLOPE) -> Tensor:
    r"""Log odds whose ties at 0 and 1 are broken by place.

    .. math:: s_j = \ln\frac{p_j}{1 - p_j} + b\, o_j

    with probabilities clipped to :math:`[10^{-6}, 1 - 10^{-6}]` and :math:`o` the :func:`place_order`. A set
    :math:`\{s \ge c\}` with c among the log odds between is a cut of the map as before; below them sets grow on from
    what was seen, step by step, where a cut of the map can only take everything at once. Maps of 8 bits have nothing
    between 1/255 and the whole image otherwise.

    Args:
        probs: probability maps ``(B, C, *spatial)`` in [0, 1].
        slope: b, log odds that a distance of the longest side stands for.

    Returns:
        Scores in float32 of the same shape, monotone in the clipped probability; among pixels that the clip makes
        equal, the place alone decides.

    Example:
        >>> placed_logits(torch.tensor([[[0.0, 0.0, 0.5, 1.0]]])).round()
        tensor([[[-24., -19.,   0.,  19.]]])
    """
    return logit_scores(probs) + slope * place_order(probs)
