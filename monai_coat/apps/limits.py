# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How large an image may be, by its header: nothing is unpacked to find out."""

from __future__ import annotations

import gzip
import math
import os
import struct
import warnings
import zlib
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any, BinaryIO

import nibabel
import numpy as np
from monai.data.utils import compute_shape_offset, zoom_affine
from nibabel.spatialimages import HeaderDataError
from PIL import Image, UnidentifiedImageError

from monai_coat.data.flat_files import check_kept
from monai_coat.files.names import SUFFIXES, is_volume, suffix_of

__all__ = ["MOST_VOXELS", "Limits"]

MOST_VOXELS = 2**26
"""A volume of 512 x 512 x 256. Answering takes up to 90 bytes a voxel with two classes, so 6 GB."""

MOST_EDGE = 1e6
"""Millimetres of a voxel's edge, or one part of that: beyond, sizes are no numbers any more."""

MOST_OFFSET = 2**20
"""Bytes before the voxels of a NIfTI file: its header, and extensions, which readers load whole."""

FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
"""What flat images may be inside, whatever they are called; Pillow knows many more, some of which run programs."""

DAMAGED = (OSError, EOFError, SyntaxError, ValueError, TypeError, OverflowError, struct.error, zlib.error)
UNREADABLE = (*DAMAGED, KeyError, HeaderDataError, np.linalg.LinAlgError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Limits:
    """What a server takes on.

    Args:
        voxels: voxels or pixels of an image, in the file and as the bundle resamples it.
        spacing: to which spacing in mm a bundle resamples volumes; empty if it does not.

    Raises:
        ValueError: if ``voxels`` is not positive.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> Image.new("L", (40, 30)).save(file, "PNG")
        >>> Limits(voxels=1200).check(file, "a.png")
        (40, 30)
        >>> Limits(voxels=1000).check(file, "a.png")
        Traceback (most recent call last):
        ...
        ValueError: image must have at most 1000 voxels, got 1200 (40 x 30) in a.png; crop or resample it, or let the server take more by max_voxels.
    """  # noqa: E501

    voxels: int = MOST_VOXELS
    spacing: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.voxels < 1:
            raise ValueError(f"max_voxels must be at least 1, got {self.voxels}; leave it out for {MOST_VOXELS}.")

    def check(self, file: BinaryIO, name: str) -> tuple[int, ...]:
        """Refuse an image by what its header says, from the first bytes of the file, to whose start it goes back.

        Returns:
            The shape that the header says; of a flat image width and height.

        Raises:
            ValueError: naming the file, if it is too large, or its header says what no reader could use.
        """
        if not suffix_of(name):
            raise ValueError(f"image must end with one of {', '.join(SUFFIXES)}, got {name}; convert the file.")
        file.seek(0)
        try:
            shape, resampled = self._of_volume(file, name) if is_volume(name) else (_of_flat(file, name), ())
        except UNREADABLE as error:
            raise ValueError(
                f"image must be a readable image, got {name} ({_words(error)}); replace the file."
            ) from None
        finally:
            file.seek(0)
        self._check_size(shape, name, "")
        if resampled:
            steps = " x ".join(f"{edge:g}" for edge in self.spacing)
            self._check_size(resampled, name, f" when it is resampled to {steps} mm")
        return shape

    def check_path(self, path: str | os.PathLike[str]) -> tuple[int, ...]:
        """As :meth:`check`, of a file that lies somewhere.

        Raises:
            ValueError: as there, and if there is no such file.
        """
        try:
            with Path(path).open("rb") as file:
                return self.check(file, str(path))
        except OSError as error:
            raise ValueError(f"image must be a readable image, got {path} ({error.strerror}); replace it.") from None

    def _of_volume(self, file: BinaryIO, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shape of a NIfTI file, and the largest that it may have resampled, in whatever order of axes."""
        header = _header(file, name)
        axes, dtype, offset = int(header["dim"][0]), header.get_data_dtype(), float(header["vox_offset"])
        shape, affine = tuple(int(length) for length in header["dim"][1 : 1 + axes]), header.get_best_affine()
        if not 2 <= axes <= 4 or min(shape) < 1:
            raise ValueError(f"it says that its size is {shape}, and must have two to four axes, none empty")
        if dtype.kind not in "iuf":
            raise ValueError(f"its values are {dtype}, and must be real numbers")
        if not 0 <= offset <= MOST_OFFSET:
            raise ValueError(f"it says that voxels begin at byte {offset:g}")
        if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise ValueError(f"its affine must say where voxels lie, and is {affine[:3].tolist()}")
        edges = np.linalg.norm(affine[:3, :3], axis=0)
        if not ((edges > 1 / MOST_EDGE) & (edges < MOST_EDGE)).all():
            raise ValueError(f"it says that voxels are {edges.tolist()} mm large")
        if not self.spacing or axes < 3:
            return shape, ()
        with np.errstate(all="ignore"):
            targets = [zoom_affine(affine, spacing, diagonal=False) for spacing in set(permutations(self.spacing))]
            sizes = [compute_shape_offset(shape[:3], affine, target)[0] for target in targets]
        return shape, (*max((tuple(map(int, size)) for size in sizes), key=math.prod), *shape[3:])

    def _check_size(self, shape: tuple[int, ...], name: str, when: str) -> None:
        count = math.prod(shape)
        if count > self.voxels:
            size = " x ".join(map(str, shape))
            raise ValueError(
                f"image must have at most {self.voxels} voxels{when}, got {count} ({size}) in {name}; crop or resample "
                "it, or let the server take more by max_voxels."
            )


def _header(file: BinaryIO, name: str) -> Any:
    """Header of a NIfTI file, without its extensions, which could be of any size."""
    opened: Any = gzip.GzipFile(fileobj=file, mode="rb") if name.lower().endswith(".gz") else file
    raw = opened.read(540)
    kinds: dict[bytes, Any] = {b"n+1\0": nibabel.Nifti1Header, b"n+2\0": nibabel.Nifti2Header}
    kind = kinds.get(raw[344:348]) or kinds.get(raw[4:8])
    if kind is None:
        raise ValueError("it does not begin as a NIfTI file does")
    order = "<" if int.from_bytes(raw[:4], "little") in (348, 540) else ">"
    return kind(raw[: kind.template_dtype.itemsize], order, check=False)


def _of_flat(file: BinaryIO, name: str) -> tuple[int, ...]:
    """Width and height, of a file whose values are read as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # there is a limit of our own
        with Image.open(file, formats=FORMATS) as image:
            check_kept(image, name)
            return image.size


def _words(error: BaseException) -> str:
    """What an error says, where that is words: Pillow's names an object's address, and nibabel's a number alone."""
    if isinstance(error, UnidentifiedImageError):
        return "it is no PNG, JPEG, BMP or TIFF"
    return f"nobody knows its type of values, {error}" if isinstance(error, KeyError) else str(error)
