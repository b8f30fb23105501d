# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Volumes: read whole, and compared by their headers."""

from __future__ import annotations

import gzip
import math
import os
import warnings
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from monai.data import MetaTensor, NibabelReader
from monai.data.utils import correct_nifti_header_if_necessary
from torch import Tensor

from monai_coat.data.grids import Grid, check_affine
from monai_coat.data.loading import load_by
from monai_coat.data.nrrd import nrrd_grid, read_nrrd
from monai_coat.files.names import is_nrrd, kind_of

__all__ = ["FORM", "MOST_VOXELS", "VALUES", "check_finite_values", "read_volume", "volume_grid"]

MOST_VOXELS = 2**29
"""Voxels of a volume: in double precision they take 4 GiB."""

RATIO = 1040
"""How many times larger than its file the content of a gzip file can be."""

FORM = (
    *("pixdim", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
)
"""Fields of a NIfTI header that say where voxels lie."""

VALUES = "map_values"
"""Key, in a map's metadata, of how its file holds numbers: "8 bit", "16 bit", "float", "float16" and so on."""

Path_ = str | os.PathLike[str]


def read_volume(path: Path_, dtype: type | None = np.float32) -> MetaTensor:
    """Read a NIfTI or NRRD file as ``(channels, *spatial)``, with slope and intercept applied.

    The affine of a NIfTI file is MONAI's: that of the sform, or of the qform where only this agrees with the voxel
    sizes. The metadata have the fields :data:`FORM` of the header as they are in the file.

    Args:
        path: the file.
        dtype: in which precision the values are wanted; None for that of the file.

    Raises:
        ValueError: naming the file, if it cannot be read.
    """
    if is_nrrd(path):
        return read_nrrd(path, dtype)
    opened, form = _open(path)
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is refused by those who read numbers
            volume = load_by(NibabelReader(), path, dtype)
    except Exception as error:  # nibabel raises a dozen kinds about damaged files
        raise _unreadable(path, error) from None
    volume.meta.update(form)
    if np.dtype(opened.get_data_dtype()).kind != "f":
        volume.meta[VALUES] = f"{8 * opened.get_data_dtype().itemsize} bit, scaled"
    volume = _of_three_axes(volume, path)
    # Files have the first axis fastest, and steps over large strides take ten times as long.
    return volume.contiguous()  # type: ignore[return-value]


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
        check_affine(given, path)
    return volume, form


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


def _of_three_axes(volume: MetaTensor, path: Path_) -> MetaTensor:
    """``(channels, x, y, z)`` of files with an axis of time that has one step: channels are then the fifth axis."""
    if volume.dim() == 5 and volume.shape[-1] == 1:
        return volume[..., 0]  # type: ignore[return-value]
    if volume.dim() > 4:
        raise ValueError(
            f"volume must have three axes and perhaps channels, got {tuple(volume.shape[1:])} and {volume.shape[0]} "
            f"channels in {path}; save one file for each step of time."
        )
    return volume


def check_finite_values(values: Tensor, path: Path_, name: str, remedy: str) -> None:
    """Refuse NaN and infinite values, by the name of the file.

    Raises:
        ValueError: if there are any.
    """
    # A finite sum has finite terms; the second look, which takes twice the memory, is for sums that are not.
    bad = 0 if math.isfinite(float(values.sum())) else int((~torch.isfinite(values)).sum())
    if bad:
        raise ValueError(f"{name} must have finite values, got {bad} that are not in {path}; {remedy}.")


def volume_grid(path: Path_) -> Grid:
    """The grid of a volume, from its header."""
    if is_nrrd(path):
        return nrrd_grid(path)
    volume, _ = _open(path)
    return np.asarray(volume.affine, dtype=float), tuple(volume.shape[:3])
