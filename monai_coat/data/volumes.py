# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""NIfTI volumes: read whole, and brought to the grid of another one."""

from __future__ import annotations

import gzip
import math
import os
import warnings
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, cast

import nibabel
import numpy as np
import torch
from monai.data import MetaTensor, NibabelReader
from monai.data.utils import correct_nifti_header_if_necessary
from monai.transforms import LoadImage
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.files.names import kind_of

__all__ = [
    "FORM",
    "MOST_VOXELS",
    "TOLERANCE",
    "Grid",
    "check_finite_values",
    "check_same_grid",
    "host_loader",
    "read_volume",
    "to_grid",
    "volume_grid",
]

MOST_VOXELS = 2**29
"""Voxels of a volume: in double precision they take 4 GiB."""

RATIO = 1040
"""How many times larger than its file the content of a gzip file can be."""

TOLERANCE = 0.1
"""How far, in voxels, the corners of two volumes may lie apart to be of one grid: what rounding in headers does."""

FORM = (
    *("pixdim", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
)
"""Fields of a NIfTI header that say where voxels lie."""

orientations: Any = nibabel.orientations

Path_ = str | os.PathLike[str]
Grid = tuple[NDArray[np.float64], tuple[int, ...]]
"""Affine from voxels to millimetres ``(4, 4)``, and spatial size."""


def read_volume(path: Path_, dtype: type = np.float32) -> MetaTensor:
    """Read a NIfTI file as ``(channels, *spatial)``, with slope and intercept applied.

    The affine is MONAI's: that of the sform, or of the qform where only this agrees with the voxel sizes. The metadata
    have the fields :data:`FORM` of the header as they are in the file.

    Args:
        path: the file.
        dtype: in which precision the values are wanted.

    Raises:
        ValueError: naming the file, if it cannot be read.
    """
    _, form = _open(path)
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is refused by those who read numbers
            # A reader that is given to a call is the only one that MONAI tries.
            values = host_loader(dtype)(path, reader=NibabelReader())
    except Exception as error:  # nibabel raises a dozen kinds about damaged files
        raise _unreadable(path, error) from None
    volume = cast(MetaTensor, values)
    volume.meta.update(form)
    return volume


@cache
def host_loader(dtype: type = np.float32) -> LoadImage:
    """MONAI's loader, which makes all of its readers and warns, where pydicom is installed, of one that needs a GPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LoadImage(image_only=True, dtype=dtype, ensure_channel_first=True)


def _open(path: Path_) -> tuple[Any, dict[str, Any]]:
    """Open a NIfTI file as far as its header, and see that the rest is there.

    Returns:
        The nibabel image, its values unread and its affine as MONAI takes it, and the fields :data:`FORM` of the file.

    Raises:
        ValueError: naming the file, if it cannot be read, is cut short, has values that are no real numbers, or an
            affine that places no voxel.
    """
    if not os.path.isfile(path):
        raise _unreadable(path, ValueError(f"it {kind_of(path)}"))
    try:
        volume: Any = nibabel.load(path)
        form = {name: np.array(volume.header[name]) for name in FORM}
        affine = np.array(volume.affine, dtype=float)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MONAI's reader will say it
            volume = correct_nifti_header_if_necessary(volume)
        dtype, shape = volume.get_data_dtype(), volume.shape
        voxels = math.prod(shape)
        if voxels > MOST_VOXELS:  # before anything is unpacked
            raise ValueError(f"it says that it has {voxels} voxels, more than {MOST_VOXELS}")
        _check_whole(Path(path), int(volume.dataobj.offset) + voxels * dtype.itemsize)
    except Exception as error:
        raise _unreadable(path, error) from None
    if dtype.kind not in "iuf" or voxels == 0:
        raise ValueError(f"volume must hold real numbers, got {dtype} of shape {shape} in {path}; convert the file.")
    for given in (affine, np.asarray(volume.affine, dtype=float)):
        _check_affine(given, path)
    return volume, form


def _check_affine(affine: NDArray[np.float64], path: Path_) -> None:
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise ValueError(
            f"affine must say where voxels lie, got {affine[:3].tolist()} in {path}; correct "
            "the header's sform or qform."
        )


def _check_whole(path: Path, size: int) -> None:
    """Raise if a NIfTI file has fewer bytes than its header says; of a compressed one the last four say how many."""
    present = path.stat().st_size
    with path.open("rb") as file:
        if file.read(2) == b"\x1f\x8b":
            file.seek(-4, os.SEEK_END)
            said, most = int.from_bytes(file.read(), "little"), RATIO * present
            present = size if said == size % 2**32 and size <= most else _unpacked(path, size)
    if present < size:
        raise EOFError(f"it ends after {present} of {size} bytes")


def _unpacked(path: Path, size: int) -> int:
    """Bytes, up to ``size``, of a compressed file that was cut short or is of several pieces: only reading tells."""
    present = 0
    with gzip.open(path) as file:
        while present < size and (part := file.read(2**20)):
            present += len(part)
    return present


def _unreadable(path: Path_, error: BaseException) -> ValueError:
    said = str(error) or type(error).__name__
    return ValueError(f"volume must be a readable NIfTI file, got {path} ({said}); replace the file.")


def check_finite_values(values: Tensor, path: Path_, name: str, remedy: str) -> None:
    """Refuse NaN and infinite values, by the name of the file.

    Raises:
        ValueError: if there are any.
    """
    bad = int((~torch.isfinite(values)).sum())
    if bad:
        raise ValueError(f"{name} must have finite values, got {bad} that are not in {path}; {remedy}.")


def volume_grid(path: Path_) -> Grid:
    """The grid of a volume, from its header."""
    volume, _ = _open(path)
    return np.asarray(volume.affine, dtype=float), tuple(volume.shape[:3])


def to_grid(values: MetaTensor, grid: Grid, names: tuple[Path_, Path_]) -> MetaTensor:
    """Bring a label or a map to the grid of another volume, if it has the same voxels in another order of axes.

    Args:
        values: volume ``(channels, *spatial)`` as it was read.
        grid: affine and size of the other.
        names: the two files, for messages.

    Returns:
        The values, with axes permuted and flipped if need be, and the affine that belongs to them.

    Raises:
        ValueError: if sizes differ, or voxels do not lie on one another.
    """
    steps, affine = _steps_to((np.asarray(values.affine, dtype=float), tuple(values.shape[1:])), grid, names)
    turned: Any = values.flip([axis for axis, (_, direction) in enumerate(steps, 1) if direction < 0])
    turned = turned.permute(0, *(1 + np.argsort(steps[:, 0])).tolist())
    turned.affine = torch.as_tensor(affine)
    return cast(MetaTensor, turned)


def check_same_grid(grid: Grid, other: Grid, names: tuple[Path_, Path_]) -> None:
    """Refuse two volumes that :func:`to_grid` would not bring together.

    Raises:
        ValueError: naming both.
    """
    _steps_to(grid, other, names)


def _steps_to(grid: Grid, other: Grid, names: tuple[Path_, Path_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each axis goes and whether it is turned round, and the affine afterwards."""
    (affine, size), (other_affine, other_size) = grid, other
    if len(size) != 3 or len(other_size) != 3:
        raise ValueError(
            f"volumes of an image must have three axes, got {size} of {names[0]} and {other_size} of {names[1]}; save "
            "flat images as PNG, or with a third axis of length 1."
        )
    steps = orientations.ornt_transform(orientations.io_orientation(affine), orientations.io_orientation(other_affine))
    # As nibabel does it: axes are turned round where they are, then axis i goes to place steps[i, 0].
    new_size = tuple(size[axis] for axis in np.argsort(steps[:, 0]))
    if new_size != other_size:
        raise ValueError(
            f"volumes of an image must have one size, got {size} of {names[0]} and {other_size} of {names[1]}; "
            "resample one to the other, or leave the image out."
        )
    moved = affine @ orientations.inv_ornt_aff(steps, size)
    apart = _distance(moved, other)
    if apart > TOLERANCE:
        raise ValueError(
            f"volumes of an image must lie on one another, got {names[0]} up to {apart:.3g} voxels from {names[1]}; "
            "resample one to the other, or correct the affine in its header."
        )
    return steps, moved


def _distance(affine: NDArray[np.float64], grid: Grid) -> float:
    """The largest distance between corners of two volumes of one size, in the shortest voxel edges of the second."""
    corners = np.array([[*corner, 1] for corner in product(*[(0, length - 1) for length in grid[1]])], dtype=float)
    edge = float(np.linalg.norm(grid[0][:3, :3], axis=0).min())
    return float(np.linalg.norm((corners @ (affine - grid[0]).T)[:, :3], axis=1).max()) / edge
