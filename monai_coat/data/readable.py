# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A look at the headers of files, so that a bad one is named before hours of work.

Tested by tests/data/test_datasets.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monai_coat.data.dicom_series import DicomSeries
from monai_coat.data.flat_files import size_of_flat
from monai_coat.data.grids import Grid, check_same_grid
from monai_coat.data.volumes import volume_grid
from monai_coat.files.names import is_volume, suffix_of

__all__ = ["check_readable", "check_same_kind"]


def check_readable(samples: Iterable[Mapping[str, Any]], keys: Sequence[str] = ("image", "label", "probs")) -> None:
    """Open every file of a data list as far as its header, so that a bad one is named before hours of training.

    Args:
        samples: dictionaries with paths under ``keys``; keys that a sample does not have are passed over.
        keys: the paths to look at. All of a sample must be volumes that lie on one another, or flat images of one size.

    Raises:
        ValueError: naming a file that cannot be read, or two files of a sample that differ in kind, size or place.

    Example:
        >>> from monai_coat.data import load_datalist, write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=2, spatial_size=(16, 16))
        >>> check_readable(load_datalist(root, "synthetic"))
    """
    for sample in samples:
        files = {key: str(sample[key]) for key in keys if key in sample}
        places = {key: _place(path, key) for key, path in files.items()}
        for key, path in list(files.items())[1:]:
            first = next(iter(files))
            check_same_kind(path, files[first])
            (grid, size), (first_grid, first_size) = places[key], places[first]
            if grid and first_grid:
                check_same_grid(grid, first_grid, (path, files[first]))
            elif size != first_size:
                raise ValueError(
                    f"{key} and {first} must have the same size, got {size} of {path} and {first_size} of "
                    f"{files[first]}; replace the wrong one or leave the sample out."
                )


def check_same_kind(path: str | os.PathLike[str], other: str | os.PathLike[str]) -> None:
    """Refuse a volume beside a flat image: an affine says where the one lies, and nothing where the other does.

    Raises:
        ValueError: naming both; files that are neither by their endings are passed over.
    """
    known = all(suffix_of(each) or os.path.isdir(each) for each in (path, other))
    if known and _is_solid(path) != _is_solid(other):
        raise ValueError(
            f"files of an image must be all volumes or all flat, got {path} beside {other}; save both as NIfTI of "
            "three axes, or both as PNG."
        )


def _is_solid(path: str | os.PathLike[str]) -> bool:
    """Whether a file, or the folder of a series, is a volume."""
    return is_volume(path) or os.path.isdir(path)


def _place(path: str, key: str) -> tuple[Grid | None, tuple[int, ...]]:
    """The grid of a volume and its first three axes; of a flat image, width and height alone."""
    try:
        if not _is_solid(path):
            return None, size_of_flat(path)
        grid = volume_grid(path) if is_volume(path) else DicomSeries.of(path).grid
        return grid, grid[1]
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(
            f"{key} must be a readable image, got {path} ({error}); replace the file or leave the sample out."
        ) from None
