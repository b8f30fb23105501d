# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Predictions in NumPy's files: which axes they have is said, or told by the sizes of the masks, or asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_coat.calibration.statistics.npz import array_shapes, read_arrays
from monai_coat.files.names import kind_of

__all__ = ["array_shape", "axes_that_fit", "read_array", "to_channels_first"]

LARGEST = 2**32
"""Bytes that the arrays of a file may have."""

KEYS = ("probabilities", "probs", "label", "labels", "seg", "mask")
"""Names in ``.npz`` files that are looked for, if there are several arrays."""

ORDERS = {2: ("yx", "xy"), 3: ("zyx", "xyz")}

Path_ = str | os.PathLike[str]


def read_array(path: Path_) -> NDArray[Any]:
    """The array of a ``.npy`` file, or of a ``.npz`` file that has one, or one of the names :data:`KEYS`.

    Nothing is unpickled, and sizes are looked at before anything is unpacked.

    Raises:
        ValueError: naming the file, if it cannot be read, or says not which array is meant.
    """
    _check_file(path)
    try:
        if Path(path).suffix.lower() == ".npy":
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            _check_kind(array.dtype)
            return array
        name = _chosen(array_shapes(Path(path), LARGEST))
        array = read_arrays(Path(path), LARGEST, [name])[name]
        _check_kind(array.dtype)
        return array
    except Exception as error:  # zip and NumPy raise a dozen kinds about damaged files
        raise _unreadable(path, error) from None


def array_shape(path: Path_) -> tuple[int, ...]:
    """The shape of :func:`read_array`, from the header.

    Raises:
        ValueError: as there.
    """
    _check_file(path)
    if Path(path).suffix.lower() == ".npy":
        return tuple(read_array(path).shape)  # of which nothing is read yet
    try:
        shapes = array_shapes(Path(path), LARGEST)
        return shapes[_chosen(shapes)]
    except Exception as error:
        raise _unreadable(path, error) from None


def axes_that_fit(shape: Sequence[int], size: Sequence[int]) -> list[str]:
    """The axes that an array can have, from its shape and the size of its mask.

    Axes are named by a letter each: c for channels, which are first or last; x, y and z as in the mask's file, of which
    "yx" and "zyx" are the order of NumPy, OpenCV and SimpleITK, and "xy" and "xyz" that of MONAI and nibabel.

    Args:
        shape: of the array.
        size: of the mask, (width, height) or (x, y, z).

    Example:
        >>> axes_that_fit((2, 40, 30), (30, 40))
        ['cyx']
        >>> axes_that_fit((32, 32), (32, 32))
        ['yx', 'xy']
    """
    shape, size = tuple(shape), tuple(size)
    sizes = {"".join(order): _size_in(order, size) for order in ORDERS[len(size)]}
    found = [order for order, expected in sizes.items() if shape == expected]
    found += [f"c{order}" for order, expected in sizes.items() if shape[1:] == expected]
    found += [f"{order}c" for order, expected in sizes.items() if shape[:-1] == expected]
    return found


def to_channels_first(array: NDArray[Any], axes: str) -> NDArray[Any]:
    """The array as ``(channels, x, y)`` or ``(channels, x, y, z)``."""
    given = array if "c" in axes else array[None]
    names = axes if "c" in axes else f"c{axes}"
    wanted = "".join(sorted(names))  # c, x, y, z
    return given.transpose([names.index(axis) for axis in wanted])


def _size_in(order: str, size: Sequence[int]) -> tuple[int, ...]:
    return tuple(size["xyz".index(axis)] for axis in order)


def _chosen(shapes: dict[str, tuple[int, ...]]) -> str:
    """The name of the array that is meant."""
    known = [name for name in shapes if len(shapes) == 1 or name in KEYS]
    if len(known) != 1:
        raise ValueError(f"it must hold one array, or one called 'probabilities', got {', '.join(shapes) or 'none'}")
    return known[0]


def _check_file(path: Path_) -> None:
    if not os.path.isfile(path):
        raise _unreadable(path, ValueError(f"it {kind_of(path)}"))


def _check_kind(dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise ValueError(f"it must hold real numbers, got {dtype}")


def _unreadable(path: Path_, error: Exception) -> ValueError:
    said = str(error) or type(error).__name__
    return ValueError(f"array must be a readable file of NumPy's, got {path} ({said}); save it again.")
