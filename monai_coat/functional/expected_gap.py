# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Coverage and precision as functions of the threshold, and the threshold with the least expected coverage gap."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from monai_coat.functional.foreground import foreground_scores
from monai_coat.functional.levels import target_coverage
from monai_coat.functional.set_size import precision_of_counts

__all__ = [
    "GapPrices",
    "coverage_curves",
    "gap_prices",
    "least_expected_gap",
    "precision_curves",
    "precision_of_one_threshold",
    "precision_to_ask_for",
    "saved_gap",
]

BLOCK = 2**20
"""Values that are counted at a time, so that counting takes no memory beside a large map."""


def coverage_curves(sketches: Tensor, thresholds: Tensor) -> Tensor:
    r"""The true positive rate of images at each of many thresholds.

    .. math:: C_i(\tau) = \frac{|\{j \in Y_i : p_{ij} \ge \tau\}|}{|Y_i|}

    Args:
        sketches: ascending foreground scores ``(..., K)``, such as :func:`~monai_coat.functional.foreground_sketch`
            makes; NaN for an image without foreground.
        thresholds: ``(G,)``, in the unit of the scores.

    Returns:
        Curves ``(..., G)``, non-increasing in the threshold; NaN where the sketch is.

    Raises:
        ValueError: if ``thresholds`` is not one-dimensional.

    Example:
        >>> coverage_curves(torch.tensor([[0.2, 0.4, 0.6, 0.8]]), torch.tensor([0.0, 0.5, 0.8]))
        tensor([[1.0000, 0.5000, 0.2500]])
    """
    if thresholds.dim() != 1:
        raise ValueError(f"thresholds must have one dimension, got shape {tuple(thresholds.shape)}.")
    below = torch.searchsorted(sketches.contiguous(), thresholds.expand(*sketches.shape[:-1], -1).contiguous())
    curves = 1 - below.to(sketches.dtype) / sketches.shape[-1]
    return curves.masked_fill(torch.isnan(sketches[..., :1]), torch.nan)


def precision_curves(probs: Tensor, labels: Tensor, thresholds: Tensor) -> Tensor:
    r"""The precision of images at each of many thresholds.

    Args:
        probs: score maps ``(B, C, *spatial)``.
        labels: reference masks of the same shape, bool or {0, 1}.
        thresholds: ``(G,)``, in the unit of the scores.

    Returns:
        Shares of :math:`\{j : p_j \ge \tau\}` that are foreground, ``(B, C, G)`` in float32: 1 where the set is empty,
        which raises no false alarm.

    Raises:
        TypeError: if ``probs`` is not floating point.
        ValueError: if shapes differ, scores are not finite, or labels hold anything but 0 and 1.

    Example:
        >>> precision_curves(torch.tensor([[[0.2, 0.4, 0.6]]]), torch.tensor([[[0, 1, 1]]]), torch.tensor([0.0, 0.3]))
        tensor([[[0.6667, 1.0000]]])
    """
    values, shape = foreground_scores(probs, labels)
    every = probs.reshape(len(values), -1)
    rows = []
    for foreground, scores in zip(values, every, strict=True):
        hits, inside = _reached(foreground, thresholds), _reached(scores, thresholds)
        rows.append(precision_of_counts(hits, inside))
    return torch.stack(rows).reshape(*shape, -1)


def _reached(values: Tensor, thresholds: Tensor) -> Tensor:
    """How many of the values ``(N,)`` are at least each of the thresholds ``(G,)``, block by block."""
    ascending, order = thresholds.sort()
    counts = torch.zeros(len(ascending) + 1, dtype=torch.int64, device=values.device)
    for block in values.split(BLOCK):
        counts += torch.bincount(torch.bucketize(block.contiguous(), ascending, right=True), minlength=len(counts))
    reached = counts.flip(0).cumsum(0).flip(0)[1:]
    return torch.empty_like(reached).scatter_(0, order, reached)


@dataclass(frozen=True)
class GapPrices:
    r"""What coverage costs and precision earns when a threshold is chosen on expected curves.

    Attributes:
        coverage: :math:`\lambda`, on the expected coverage.
        precision: :math:`\mu \ge 0`, on the expected precision.
    """

    coverage: float
    precision: float


def least_expected_gap(curves: Tensor, prices: Tensor) -> Tensor:
    r"""Index of the threshold with the least expected gap, after prices.

    .. math:: \hat k = \arg\min_k\; \hat G_k + \lambda\, \hat C_k - \mu\, \hat P_k

    with :math:`\hat G_k` the expected distance of coverage from its target at threshold k, :math:`\hat C_k` the
    expected coverage and :math:`\hat P_k` the expected precision. A hopeless image loses up to :math:`1 - \alpha` below
    the target and at most :math:`\alpha` above it, so that the least gap alone covers too much: :math:`\lambda` brings
    the mean back where it matters least. :math:`\mu` says how much gap a cleaner set is worth.

    Args:
        curves: expected gap, coverage and precision ``(B, 3, C, G)``.
        prices: :math:`\lambda` and :math:`\mu`, ``(2, C)``.

    Returns:
        Indices ``(B, C)``; the first of equals.

    Example:
        >>> curves = torch.tensor([[[[0.10, 0.05, 0.06]], [[1.0, 0.95, 0.85]], [[0.2, 0.5, 0.9]]]])
        >>> [int(least_expected_gap(curves, torch.tensor([[price], [0.0]]))) for price in (0.0, 0.2)]
        [1, 2]
    """
    total = curves[:, 0] + prices[0].unsqueeze(-1) * curves[:, 1] - prices[1].unsqueeze(-1) * curves[:, 2]
    return total.argmin(-1)


def gap_prices(
    expected: Tensor, observed: Tensor, alpha: float, floor: float | None, highest: float = 4.0
) -> GapPrices:
    r"""The prices at which chosen thresholds have the target coverage, and at least a wanted precision, on average.

    Args:
        expected: expected gap, coverage and precision ``(N, 3, G)`` of N images, by a model that has not seen them.
        observed: their true curves, of the same shape.
        alpha: tolerated mean false negative rate, in (0, 1).
        floor: mean precision that is wanted, or None to ask for none.
        highest: price on precision where no lower one reaches the floor.

    Returns:
        The prices, by bisection: the mean coverage falls with the first, and the second is the smallest that does.

    Example:
        >>> coverage = torch.tensor([[1.0, 0.9, 0.5], [1.0, 0.8, 0.6]])
        >>> curves = torch.stack([(coverage - 0.9).abs(), coverage, 1 - coverage / 2], 1)
        >>> gap_prices(curves, curves, alpha=0.1, floor=None).precision
        0.0
    """

    def balanced(precision: float) -> tuple[float, float]:
        """Price on coverage that meets the target beside a price on precision, and the mean precision there."""
        low, high = -8.0, 8.0
        for _ in range(24):
            middle = (low + high) / 2
            low, high = (middle, high) if _mean(1, middle, precision) > target else (low, middle)
        return low, _mean(2, low, precision)

    def _mean(curve: int, coverage: float, precision: float) -> float:
        prices = expected.new_tensor([[coverage], [precision]])
        chosen = least_expected_gap(expected[:, :, None], prices)
        return float(observed[:, curve].gather(1, chosen).mean())

    target = target_coverage(alpha)
    if floor is None or balanced(0.0)[1] >= floor:
        return GapPrices(balanced(0.0)[0], 0.0)
    low, high = 0.0, highest
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if balanced(middle)[1] >= floor else (middle, high)
    return GapPrices(balanced(high)[0], high)


def precision_of_one_threshold(observed: Tensor, alpha: float) -> float:
    """Mean precision of the one threshold for all images that has the target coverage on average.

    Args:
        observed: true gap, coverage and precision curves ``(N, 3, G)`` over ascending thresholds.
        alpha: tolerated mean false negative rate, in (0, 1).

    Returns:
        The precision, interpolated between the two thresholds around the target.

    Example:
        >>> coverage, precision = torch.tensor([[1.0, 0.8]]), torch.tensor([[0.2, 0.6]])
        >>> round(precision_of_one_threshold(torch.stack([coverage, coverage, precision], 1), alpha=0.1), 4)
        0.4
    """
    coverage, precision = observed[:, 1].mean(0), observed[:, 2].mean(0)
    last = _last_step(coverage, alpha)
    after = min(last + 1, len(coverage) - 1)
    drop = float(coverage[last] - coverage[after])
    weight = (float(coverage[last]) - target_coverage(alpha)) / drop if drop > 0 else 0.0
    return float(precision[last]) * (1 - weight) + float(precision[after]) * weight


def _last_step(coverage: Tensor, alpha: float) -> int:
    """The highest of ascending thresholds at which a mean coverage ``(G,)`` is at least the target."""
    return max(int((coverage >= target_coverage(alpha)).sum()) - 1, 0)


def saved_gap(
    expected: Tensor, observed: Tensor, alpha: float, prices: GapPrices, groups: Tensor | None = None
) -> tuple[float, float]:
    """How much smaller the coverage gap is with a threshold per image than with one for all, on average.

    Args:
        expected: expected gap, coverage and precision ``(N, 3, G)`` of N images, by a model that has not seen them.
        observed: their true curves.
        alpha: tolerated mean false negative rate, in (0, 1).
        prices: from :func:`gap_prices`.
        groups: whole numbers ``(N,)``, the same for images that belong together; None if each stands alone.

    Returns:
        The mean difference, positive where it pays, and its standard error, of groups as if each were one observation.

    Example:
        >>> coverage = torch.tensor([[1.0, 0.9, 0.5], [1.0, 1.0, 0.9]])
        >>> curves = torch.stack([(coverage - 0.9).abs(), coverage, 1 - coverage / 2], 1)
        >>> saved, error = saved_gap(curves, curves, 0.1, GapPrices(0.0, 0.0))
        >>> round(saved, 3), round(error, 3)
        (0.05, 0.05)
    """
    chosen = least_expected_gap(expected[:, :, None], expected.new_tensor([[prices.coverage], [prices.precision]]))
    one = observed[:, 0, _last_step(observed[:, 1].mean(0), alpha)]
    saved = one - observed[:, 0].gather(1, chosen)[:, 0]
    return float(saved.mean()), _standard_error(saved, groups)


def precision_to_ask_for(
    expected: Tensor, observed: Tensor, alpha: float, groups: Tensor | None = None, errors: float = 0.3
) -> float:
    """The mean precision to ask for, so that thresholds per image are no less precise than one for all.

    It is :func:`precision_of_one_threshold`, and a share of the standard error of the difference from it, since new
    images are not these.

    Args:
        expected: expected gap, coverage and precision ``(N, 3, G)`` of N images, by a model that has not seen them.
        observed: their true curves.
        alpha: tolerated mean false negative rate, in (0, 1).
        groups: as for :func:`saved_gap`.
        errors: that share. On PraNet's maps, by videos, 0.3 gave the precision of one threshold at both of two levels.

    Example:
        >>> coverage = torch.tensor([[1.0, 0.9, 0.5], [1.0, 1.0, 0.9]])
        >>> curves = torch.stack([(coverage - 0.9).abs(), coverage, 1 - coverage / 2], 1)
        >>> round(precision_to_ask_for(curves, curves, 0.1), 4)
        0.5575
    """
    free = gap_prices(expected, observed, alpha, floor=None)
    chosen = least_expected_gap(expected[:, :, None], expected.new_tensor([[free.coverage], [0.0]]))
    one = observed[:, 2, _last_step(observed[:, 1].mean(0), alpha)]
    difference = observed[:, 2].gather(1, chosen)[:, 0] - one
    return precision_of_one_threshold(observed, alpha) + errors * _standard_error(difference, groups)


def _standard_error(values: Tensor, groups: Tensor | None) -> float:
    """Of the mean of values ``(N,)`` that are independent between groups."""
    kinds = torch.arange(len(values)) if groups is None else groups.unique(return_inverse=True)[1]
    count = int(kinds.max()) + 1
    sums = torch.zeros(count, dtype=values.dtype).index_add_(0, kinds, values - values.mean())
    return float((sums.pow(2).sum() * count / max(count - 1, 1)).sqrt()) / len(values)
