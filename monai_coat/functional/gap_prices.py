# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Prices on coverage and precision, chosen on images that are learned from, and what they buy there.

Tested by tests/functional/test_expected_gap.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from monai_coat.functional.expected_gap import least_expected_gap
from monai_coat.functional.levels import target_coverage

__all__ = [
    "GapPrices",
    "curves_of_one_threshold",
    "gap_frontier",
    "gap_prices",
    "precision_of_one_threshold",
    "precision_to_ask_for",
    "saved_gap",
]


@dataclass(frozen=True)
class GapPrices:
    r"""What coverage costs and precision earns when a threshold is chosen on expected curves.

    Attributes:
        coverage: :math:`\lambda`, on the expected coverage.
        precision: :math:`\mu \ge 0`, on the expected precision.
    """

    coverage: float
    precision: float


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

    def at(precision: float) -> tuple[GapPrices, float]:
        prices = _balanced(expected, observed, alpha, precision)
        return prices, float(_chosen(expected, observed, prices)[:, 2].mean())

    prices, found = at(0.0)
    if floor is None or found >= floor:
        return prices
    low, high = 0.0, highest
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if at(middle)[1] >= floor else (middle, high)
    return at(high)[0]


def _balanced(expected: Tensor, observed: Tensor, alpha: float, precision: float) -> GapPrices:
    """The price on coverage at which the mean coverage is on target, beside a price on precision."""
    low, high, target = -8.0, 8.0, target_coverage(alpha)
    for _ in range(24):
        middle = (low + high) / 2
        coverage = float(_chosen(expected, observed, GapPrices(middle, precision))[:, 1].mean())
        low, high = (middle, high) if coverage > target else (low, middle)
    return GapPrices(low, precision)


def _chosen(expected: Tensor, observed: Tensor, prices: GapPrices) -> Tensor:
    """True gap, coverage and precision ``(N, 3)`` at the thresholds that prices choose."""
    index = least_expected_gap(expected[:, :, None], expected.new_tensor([[prices.coverage], [prices.precision]]))
    return observed.gather(2, index[:, :, None].expand(-1, observed.shape[1], 1))[:, :, 0]


def gap_frontier(expected: Tensor, observed: Tensor, alpha: float, prices: Sequence[float]) -> Tensor:
    """Mean coverage gap and mean precision at prices on precision, each with the target coverage on average.

    Args:
        expected: expected gap, coverage and precision ``(N, 3, G)`` of N images, by a model that has not seen them.
        observed: their true curves.
        alpha: tolerated mean false negative rate, in (0, 1).
        prices: on precision.

    Returns:
        Gap and precision ``(P, 2)``.

    Example:
        >>> coverage = torch.tensor([[1.0, 0.9, 0.5], [1.0, 0.8, 0.6]])
        >>> curves = torch.stack([(coverage - 0.9).abs(), coverage, 1 - coverage / 2], 1)
        >>> gap_frontier(curves, curves, 0.1, [0.0]).round(decimals=2)
        tensor([[0.0500, 0.5200]])
    """
    points = [_chosen(expected, observed, _balanced(expected, observed, alpha, price)).mean(0) for price in prices]
    return torch.stack(points)[:, [0, 2]]


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
    return float(curves_of_one_threshold(observed, alpha)[2])


def curves_of_one_threshold(observed: Tensor, alpha: float) -> Tensor:
    """Mean gap, coverage and precision ``(3,)`` of the one threshold that has the target coverage on average.

    Args:
        observed: true gap, coverage and precision curves ``(N, 3, G)`` over ascending thresholds.
        alpha: tolerated mean false negative rate, in (0, 1).

    Returns:
        The means, interpolated between the two thresholds around the target.

    Example:
        >>> curves = torch.tensor([[[0.1, 0.1], [1.0, 0.8], [0.2, 0.6]]])
        >>> curves_of_one_threshold(curves, alpha=0.1)
        tensor([0.1000, 0.9000, 0.4000])
    """
    means = observed.mean(0)
    last = _last_step(means[1], alpha)
    after = min(last + 1, means.shape[1] - 1)
    drop = float(means[1, last] - means[1, after])
    weight = (float(means[1, last]) - target_coverage(alpha)) / drop if drop > 0 else 0.0
    return means[:, last] * (1 - weight) + means[:, after] * weight


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
    one = observed[:, 0, _last_step(observed[:, 1].mean(0), alpha)]
    saved = one - _chosen(expected, observed, prices)[:, 0]
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
        errors: that share. With 0.3 the sets of PraNet's maps, by videos, were no less precise than with one threshold
            but for noise, at both of two levels (docs/results/by_video.md).

    Example:
        >>> coverage = torch.tensor([[1.0, 0.9, 0.5], [1.0, 1.0, 0.9]])
        >>> curves = torch.stack([(coverage - 0.9).abs(), coverage, 1 - coverage / 2], 1)
        >>> round(precision_to_ask_for(curves, curves, 0.1), 4)
        0.5575
    """
    one = observed[:, 2, _last_step(observed[:, 1].mean(0), alpha)]
    difference = _chosen(expected, observed, _balanced(expected, observed, alpha, 0.0))[:, 2] - one
    return precision_of_one_threshold(observed, alpha) + errors * _standard_error(difference, groups)


def _standard_error(values: Tensor, groups: Tensor | None) -> float:
    """Of the mean of values ``(N,)`` that are independent between groups."""
    kinds = torch.arange(len(values)) if groups is None else groups.unique(return_inverse=True)[1]
    count = int(kinds.max()) + 1
    sums = torch.zeros(count, dtype=values.dtype).index_add_(0, kinds, values - values.mean())
    return float((sums.pow(2).sum() * count / max(count - 1, 1)).sqrt()) / len(values)
