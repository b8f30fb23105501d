# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""False positives in sizes of the foreground, and the background pixels that would be the first of them."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_coat.functional.checks import check_maps
from monai_coat.functional.foreground import plain
from monai_coat.functional.set_size import set_counts

__all__ = ["false_positive_ratio", "highest_background"]


def false_positive_ratio(scores: Tensor, labels: Tensor, cutoff: float | Tensor, cap: float | None = None) -> Tensor:
    r"""What the prediction set holds beside the foreground, in sizes of the foreground.

    .. math:: \min\Big(\text{cap},\ \frac{|\{j \notin Y : s_j \ge c\}|}{\min(|Y|, |\bar Y|)}\Big)

    It falls as the cutoff rises. Without a cap it has no bound: a blob beside an object of two pixels can be a hundred
    times its size. Where there is less background than foreground, the share is of the background, which is the larger
    number.

    Args:
        scores: score maps ``(B, C, *spatial)``, floating point and finite.
        labels: reference masks of the same shape, bool or {0, 1}.
        cutoff: a number, or a tensor that broadcasts to ``(B, C)``; comparison is ``score >= cutoff``.
        cap: the largest value, or None for no cap.

    Returns:
        Ratios ``(B, C)`` in float64; NaN where an image has no foreground or no background.

    Example:
        >>> scores, labels = torch.tensor([[[0.9, 0.8, 0.7, 0.1]]]), torch.tensor([[[1, 0, 0, 0]]])
        >>> [float(false_positive_ratio(scores, labels, 0.5, cap)) for cap in (None, 1)]
        [2.0, 1.0]
    """
    hits, size, foreground = set_counts(scores, labels, cutoff)
    scarcer = torch.minimum(foreground, scores[0, 0].numel() - foreground)
    ratio = torch.where(scarcer > 0, (size - hits) / scarcer, torch.nan)
    return ratio if cap is None else ratio.clamp(max=cap)


def highest_background(scores: Tensor, labels: Tensor) -> Tensor:
    r"""Mark, in each image and class, as many background pixels as there is foreground: those with the highest scores.

    With m pixels of foreground, the share of the marked ones with a score of at least c is

    .. math:: \min\Big(1,\ \frac{|\{j \notin Y : s_j \ge c\}|}{m}\Big),

    the capped :func:`false_positive_ratio` at cutoff c. It falls with c, so that it can be controlled just as the false
    negative rate is: in the map of negative scores, the marked pixels are what may be "missed".

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
