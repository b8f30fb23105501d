# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The partition that all steps of a project share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_coat.data.partition import Partition, PartitionBy, partition

__all__ = ["open_partition"]


def open_partition(
    path: str | os.PathLike[str],
    datalist: Sequence[dict[str, Any]],
    fractions: Sequence[float] = (0.4, 0.25, 0.175, 0.175),
    seed: int = 0,
    by: str = PartitionBy.IMAGE,
) -> Partition:
    """Load a saved partition, or make it and save it if there is none yet.

    Training, calibration and test stay disjoint over separate runs only if all of them use the same parts.

    Args:
        path: file of the partition.
        datalist: samples of the data set.
        fractions: shares of the four parts of a new partition, see :func:`~monai_coat.data.partition`.
        seed: seed of the draw.
        by: how calibration and test are told apart, see :func:`~monai_coat.data.partition`.

    Returns:
        The partition.

    Raises:
        ValueError: if the saved partition was drawn with another seed or in another way: networks trained on its parts
            may have seen what would now be calibration images.

    Example:
        >>> samples = [{"id": str(i)} for i in range(20)]
        >>> path = getfixture("tmp_path") / "partition.json"
        >>> open_partition(path, samples) == open_partition(path, samples)
        True
    """
    if not Path(path).is_file():
        made = partition(datalist, fractions, seed, by)
        made.save(path)
        return made
    saved = Partition.load(path, datalist)
    if (saved.seed, saved.by) != (seed, PartitionBy(by)):
        raise ValueError(
            f"seed and by must be those of {path}, {saved.seed} and {str(saved.by)!r}, got {seed} and {by!r}; "
            "use another folder for another partition, and train again there."
        )
    return saved
