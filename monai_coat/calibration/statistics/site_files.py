# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The files of several sites as one statistic, or as one for each site.

Tested by tests/calibration/statistics/test_file.py.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from monai_coat.calibration.grouping import MetadataKey, as_grouping
from monai_coat.calibration.statistics.base import Statistic
from monai_coat.calibration.statistics.collected import CollectedStatistic
from monai_coat.calibration.statistics.file import load_statistic
from monai_coat.calibration.statistics.grouped import GroupedStatistic
from monai_coat.calibration.statistics.merging import SMALLEST, merge_sites
from monai_coat.calibration.statistics.npz import LARGEST
from monai_coat.calibration.statistics.shares import ShareStatistic

__all__ = ["merge_groups", "merge_statistics"]


def merge_statistics(
    paths: Sequence[str | os.PathLike[str]], smallest: int = SMALLEST, largest: int = LARGEST
) -> CollectedStatistic:
    """Merge the files of several sites; the result is that of all images at once, to the bit.

    Args:
        paths: files of :func:`save_statistic`, each of other images.
        smallest: fewest images of a class in each file of sums, whatever its sender allowed.
        largest: bytes that a file's arrays may have together, see :func:`load_statistic`.

    Raises:
        ValueError: if there is no file, or two share an image, or they differ in kind, grid, classes, method, network
            or pipeline or in the parts of it that they name, or one holds fewer images than ``smallest``.

    Example:
        >>> import torch
        >>> from monai_coat.calibration import BinnedStatistic, save_statistic
        >>> folder = getfixture("tmp_path")
        >>> for name in ("north", "south"):
        ...     collected = CollectedStatistic(BinnedStatistic(0.0, 1.0))
        ...     collected.update(torch.rand(12, 1, 8), torch.ones(12, 1, 8))
        ...     save_statistic(collected, folder / f"{name}.npz")
        >>> merge_statistics([folder / "north.npz", folder / "south.npz"]).statistic.n
        (24,)
    """
    sites: dict[str, CollectedStatistic] = {}
    for path in paths:
        site = load_statistic(path, largest)
        if str(path) in sites:
            raise ValueError(
                f"paths must be of different images, got {len(site.images)} that are in {path} twice; name it once."
            )
        sites[str(path)] = site
    return merge_sites(sites, smallest, "paths")


def merge_groups(paths: Sequence[str | os.PathLike[str]], key: str, largest: int = LARGEST) -> GroupedStatistic:
    """The files of several sites as groups, each called as its file is without the ending.

    Args:
        paths: files of :func:`save_statistic`, which :func:`merge_statistics` would merge.
        key: what the groups are, such as "site".
        largest: bytes that a file's arrays may have together.

    Raises:
        ValueError: if two files have one name.
    """
    if not isinstance(as_grouping(key), MetadataKey):
        raise ValueError(f"key must be what the files are of, such as site, got {key!r}; strata are not in files.")
    sites = {Path(path).stem: load_statistic(path, largest).statistic for path in paths}
    if len(sites) < len(paths):
        raise ValueError(
            f"paths must have different names, got {', '.join(map(str, paths))}; the names are the groups."
        )
    first = next(iter(sites.values()))
    statistic = GroupedStatistic(lambda: _empty(first), MetadataKey(key))
    statistic.groups = sites
    return statistic


def _empty(like: Statistic) -> Statistic:
    """A statistic of the same kind and risk without images."""
    return type(like)(risk=like.risk) if isinstance(like, ShareStatistic) else type(like)()  # type: ignore[call-arg]
