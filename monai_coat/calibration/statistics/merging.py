# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Statistics of several sites become one, if they belong together.

Tested by tests/calibration/statistics/test_file.py.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

from monai_coat.calibration.statistics.binned import BinnedStatistic
from monai_coat.calibration.statistics.collected import CollectedStatistic

__all__ = ["SMALLEST", "check_enough", "merge_sites"]

SMALLEST = 10
"""Fewest images of a class that leave a site as sums: of few images, a sum tells about each."""


def merge_sites(
    sites: Mapping[str, CollectedStatistic], smallest: int = SMALLEST, argument: str = "sites"
) -> CollectedStatistic:
    """Merge the statistics of several sites; the result is that of all images at once, to the bit.

    Args:
        sites: statistics of other images each, by the site's name; they stay as they are.
        smallest: fewest images of a class in each statistic of sums, whatever its sender allowed.
        argument: what messages call the sites.

    Raises:
        ValueError: if there is no site, or two share an image, or they differ in kind, grid, classes, method, network
            or pipeline, or one holds fewer images than ``smallest``.

    Example:
        >>> import torch
        >>> def site(seed):
        ...     collected = CollectedStatistic(BinnedStatistic(0.0, 1.0))
        ...     collected.update(torch.rand(12, 1, 8), torch.ones(12, 1, 8))
        ...     return collected
        >>> merge_sites({"north": site(0), "south": site(1)}).statistic.n
        (24,)
    """
    if not sites:
        raise ValueError(f"{argument} must name at least one statistic, got none.")
    (name, first), *others = sites.items()
    for other, site in sites.items():
        check_enough(site, smallest, f"ask the sender of {other} to join it with others")
        _check_alike((name, first), (other, site), argument)
    _check_disjoint(sites, argument)
    merged = copy.deepcopy(first)
    for other, site in others:
        try:
            merged.merge(site)
        except ValueError as error:
            raise ValueError(f"{argument} must be of one grid and number of classes, got {other} ({error})") from None
    return merged


def _check_alike(first: tuple[str, CollectedStatistic], second: tuple[str, CollectedStatistic], argument: str) -> None:
    """Refuse statistics of another kind, method or pipeline than the first."""
    (name, mine), (other, theirs) = first, second
    for what, one, two in (
        ("kind", mine.statistic.kind, theirs.statistic.kind),
        ("risk", mine.statistic.measures, theirs.statistic.measures),
        ("method", mine.method, theirs.method),
    ):
        if one != two:
            raise ValueError(f"{argument} must be of one {what}, got {one!r} in {name} and {two!r} in {other}.")
    differences = mine.identity.differences(theirs.identity)
    if differences:
        raise ValueError(f"{argument} must be of one pipeline, got {', '.join(differences)} in {name} and {other}.")
    # What one does not name cannot be compared, and a third may name it otherwise.
    unnamed = sorted({*mine.identity.pipeline} ^ {*theirs.identity.pipeline})
    if unnamed:
        raise ValueError(
            f"{argument} must name the same parts of the pipeline, got {', '.join(unnamed)} in only one of {name} and "
            f"{other}; give every site the same pipeline={{...}} and collect again."
        )


def check_enough(collected: CollectedStatistic, smallest: int, remedy: str) -> None:
    """Refuse sums over few images.

    Raises:
        ValueError: with the remedy, if a class has images, and fewer than ``smallest``.
    """
    few = [n for n in collected.statistic.n if 0 < n < smallest]
    if few and isinstance(collected.statistic, BinnedStatistic):
        raise ValueError(
            f"statistic must hold at least {smallest} images of each class that it has any of, got {few[0]}; {remedy}."
        )


def _check_disjoint(sites: Mapping[str, CollectedStatistic], argument: str) -> None:
    """Refuse images that two sites have: they would count twice, and the difference of the two would be theirs."""
    seen: dict[str, str] = {}
    for name, site in sites.items():
        twice = [token for token in site.images if token in seen]
        if twice:
            raise ValueError(
                f"{argument} must be of different images, got {len(twice)} that are in {seen[twice[0]]} and in {name}; "
                "collect each image once."
            )
        seen |= dict.fromkeys(site.images, name)
