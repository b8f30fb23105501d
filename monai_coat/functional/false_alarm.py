# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Where a false alarm would be raised first: the background with the highest scores."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_coat.functional._checks import check_maps
from monai_coat.functional.foreground import plain

__all__ = ["highest_background"]


def highest_background(scores: Tensor, labels: Tensor) -> Tensor:
    r"""Mark, in each image and class, as many background pixels as there is foreground: those with the highest scores.

    With m pixels of foreground, the share of the marked ones with a score of at least c is

    .. math:: \min\Big(1,\ \frac{|\{j \notin Y : s_j \ge c\}|}{m}\Big),

    the false alarm at cutoff c, in sizes of the foreground. It falls with c, so that it can be controlled just as a
    miss is: in the map of negative scores, the marked pixels are what may be "missed".

    Args:
        scores: score maps ``(B, C, *spatial)``, floating point and finite.
        labels: reference masks of the same shape, bool or {0, 1}.

    Returns:
        Bool ``(B, C, *spatial)``; nothing is marked in an image without foreground. Where there is less background than
        foreground, all of it is marked, and the share is of the background. Of equal scores at the end, any may be.

    Raises:
        TypeError: if ``scores`` is not floating point.
        ValueError: if shapes differ, scores are not finite, or labels hold anything but 0 and 1.

    Example:
        >>> highest_background(torch.tensor([[[0.1, 0.9, 0.4, 0.6]]]), torch.tensor([[[0, 1, 0, 0]]]))
        tensor([[[False, False, False,  True]]])
    """
    scores, labels = plain(scores), plain(labels)
    mask = check_maps(scores, labels).flatten(2)
    ranked = scores.flatten(2).masked_fill(mask, -torch.inf).argsort(dim=-1, descending=True, stable=True)
    taken = torch.arange(ranked.shape[-1], device=scores.device) < mask.sum(-1, keepdim=True)
    marked = torch.zeros_like(mask).scatter(-1, ranked, taken) & ~mask
    return marked.reshape(labels.shape)
