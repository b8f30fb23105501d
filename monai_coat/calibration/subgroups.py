# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Where the risk is: the mean risk of groups of images, of strata of size, and of the worst slab of features."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_coat.calibration.mean_tests import excess_p_value, mean_interval
from monai_coat.functional import exact_level, graphical_test, holm_graph
from monai_coat.functional.checks import check_delta

__all__ = ["GroupAudit", "SlabAudit", "audit_groups", "audit_worst_slab", "size_strata"]

STRATA = ("small", "middling", "large")
LEAST = 40
"""Images with which a worst slab is looked for."""
DIRECTIONS = 500
STEPS = 50
"""Places at which a slab may begin or end."""


@dataclass(frozen=True)
class GroupAudit:
    """The mean risk of a group of images.

    Attributes:
        name: of the group.
        n: images of it that count.
        mean: their mean risk; NaN without any.
        interval: two-sided 95 % confidence interval of the mean risk of images like them.
        p_value: of the hypothesis that it is at most alpha.
        above: whether it is above alpha, with all groups looked at together.
    """

    name: str
    n: int
    mean: float
    interval: tuple[float, float]
    p_value: float
    above: bool = False


@dataclass(frozen=True)
class SlabAudit:
    """The images between two parallel planes of features, where the risk is largest; see :func:`audit_worst_slab`.

    Attributes:
        direction: weight of each feature, after division by its spread.
        bounds: the planes, in units of the direction.
        share: share of the measured images that lie between them.
        measured: what was measured on images that the slab was not chosen by.
    """

    direction: tuple[float, ...]
    bounds: tuple[float, float]
    share: float
    measured: GroupAudit


def audit_groups(
    risks: ArrayLike, groups: Mapping[str, ArrayLike], alpha: float, level: float = 0.05, binary: bool = False
) -> tuple[GroupAudit, ...]:
    """Say of groups of images whether their mean risk is above alpha.

    A promise on average over all images says nothing about each group, and a group above alpha does not break it: it
    shows where the risk is, with this one cutoff. Groups may overlap. The probability that any group is said to be
    above that is not is at most ``level`` (Holm).

    Args:
        risks: one for each image, in [0, 1], shape ``(n,)``; NaN if it does not count.
        groups: of each group by name, which images are of it, bool ``(n,)``.
        alpha: the promised mean risk, in (0, 1).
        level: tolerated probability of any wrong "above", in (0, 1).
        binary: whether all risks are 0 or 1.

    Returns:
        One entry for each group, in their order.

    Raises:
        ValueError: if a risk is outside [0, 1], a group is not of the images, or a level is outside (0, 1).

    Example:
        >>> risks = [0.0] * 30 + [0.4] * 30
        >>> found = audit_groups(risks, {"north": [True] * 30 + [False] * 30, "south": [False] * 30 + [True] * 30}, 0.1)
        >>> [(group.name, round(group.mean, 3), group.above) for group in found]
        [('north', 0.0, False), ('south', 0.4, True)]

    Source:
        Holm, A simple sequentially rejective multiple test procedure (Scandinavian Journal of Statistics 1979).
    """
    values, level, alpha = np.asarray(risks, dtype=np.float64), check_delta(level, "level"), float(exact_level(alpha))
    members = {name: np.asarray(inside, dtype=bool) for name, inside in groups.items()}
    for name, inside in members.items():
        if inside.shape != values.shape:
            raise ValueError(f"groups must say of each of the {values.size} images, got {inside.size} of {name!r}.")
    if not members:
        return ()
    found = [_of_group(name, values[inside], alpha, binary) for name, inside in members.items()]
    above = graphical_test([group.p_value for group in found], holm_graph(len(found)), level)
    return tuple(
        GroupAudit(group.name, group.n, group.mean, group.interval, group.p_value, bool(is_above))
        for group, is_above in zip(found, above, strict=True)
    )


def size_strata(sizes: ArrayLike) -> dict[str, NDArray[np.bool_]]:
    """Thirds of the images by size: small, middling, large; images of equal size are in one, the smaller.

    Args:
        sizes: one for each image, such as the reference mask's share of the image; 0 or NaN of one without foreground,
            which is in none.

    Returns:
        Bool ``(n,)`` by name of the stratum; none if fewer than three sizes are there.

    Example:
        >>> {name: inside.tolist() for name, inside in size_strata([1, 5, 9, 0]).items()}["small"]
        [True, False, False, False]
    """
    values = np.asarray(sizes, dtype=np.float64)
    present = np.nan_to_num(values) > 0
    if len(np.unique(values[present])) < len(STRATA):
        return {}
    edges = np.quantile(values[present], [1 / 3, 2 / 3], method="inverted_cdf")
    strata = np.searchsorted(edges, values, side="left")
    return {name: present & (strata == index) for index, name in enumerate(STRATA)}


def audit_worst_slab(
    risks: ArrayLike, features: ArrayLike, alpha: float, seed: int = 0, binary: bool = False
) -> SlabAudit | None:
    r"""The slab :math:`\{a \le v \cdot x \le b\}` of features x with the largest mean risk.

    Among 500 random directions v and at most 50 places for each of a and b, it is the one of largest mean risk on one
    random half of the images, of slabs that hold at least 20 % of them. The mean risk is then measured on the other
    half, so that its interval and p-value are those of a group that was fixed beforehand.

    Args:
        risks: one for each image, in [0, 1], shape ``(n,)``; NaN if it does not count.
        features: of each image, ``(n, F)``, finite.
        alpha: the promised mean risk, in (0, 1).
        seed: of the halves and the directions.
        binary: whether all risks are 0 or 1.

    Returns:
        The slab, measured; None if fewer than 40 images count, or all look alike.

    Raises:
        ValueError: if there are not features of each image, or a risk is outside [0, 1].

    Example:
        >>> features = np.linspace(0, 1, 400)[:, None]
        >>> found = audit_worst_slab((features[:, 0] > 0.7).astype(float), features, alpha=0.1)
        >>> found.measured.mean > 0.8, found.share > 0.15
        (True, True)

    Source:
        Cauchois, Gupta and Duchi, Knowing what You Know: valid and validated confidence sets in multiclass and
        multilabel prediction (JMLR 2021), section 4, worst-slab coverage.
    """
    values, x = np.asarray(risks, dtype=np.float64), np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or len(x) != values.size:
        raise ValueError(f"features must have a row for each of the {values.size} images, got shape {x.shape}.")
    counts = ~np.isnan(values)
    values, x = values[counts], x[counts]
    if len(values) < LEAST:
        return None
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(values))
    chosen_by, measured_on = order[: len(order) // 2], order[len(order) // 2 :]
    spread = x[chosen_by].std(0)
    if not (spread > 0).any():
        return None
    x = (x - x[chosen_by].mean(0)) / np.where(spread > 0, spread, np.inf)
    directions = rng.standard_normal((DIRECTIONS, x.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    slabs = [_worst_window(x[chosen_by] @ v, values[chosen_by]) for v in directions]
    best = max(range(DIRECTIONS), key=lambda index: slabs[index][0])
    (_, low, high), along = slabs[best], x[measured_on] @ directions[best]
    inside = (along >= low) & (along <= high)
    measured = _of_group("worst slab", values[measured_on][inside], float(exact_level(alpha)), binary)
    return SlabAudit(tuple(map(float, directions[best])), (low, high), float(inside.mean()), measured)


def _worst_window(along: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float, float]:
    """The largest mean of at least a fifth of the values, neighbours along a line, and where they begin and end."""
    order = np.argsort(along, kind="stable")
    along, sums = along[order], np.concatenate([[0.0], np.cumsum(values[order])])
    places = np.unique(np.linspace(0, len(values), STEPS + 1).round().astype(int))
    lengths = places - places[:, None]
    allowed = lengths >= math.ceil(0.2 * len(values))
    means = np.where(allowed, (sums[places] - sums[places][:, None]) / np.maximum(lengths, 1), -1.0)
    begin, end = np.unravel_index(int(means.argmax()), means.shape)
    return float(means[begin, end]), float(along[places[begin]]), float(along[places[end] - 1])


def _of_group(name: str, values: NDArray[np.float64], alpha: float, binary: bool) -> GroupAudit:
    counted = values[~np.isnan(values)]
    mean = math.fsum(counted) / counted.size if counted.size else math.nan
    interval = mean_interval(counted, binary=binary)
    return GroupAudit(name, int(counted.size), mean, interval, excess_p_value(counted, alpha, binary))
