# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Image files that nobody should be sent, made from a small good one."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable

import nibabel
import numpy as np
from PIL import Image

DIM, DATATYPE, PIXDIM, OFFSET, SLOPE, SROW = 40, 70, 76, 108, 112, 280
"""Where the fields of a NIfTI-1 header are."""


def volume(values: np.ndarray, affine: np.ndarray | None = None) -> bytes:
    return nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine).to_bytes()


def edited(offset: int, layout: str, *values: float, base: bytes | None = None) -> bytes:
    """A volume in whose header something else stands."""
    content = bytearray(base or volume(np.ones((20, 24, 16), np.float32)))
    struct.pack_into(f"<{layout}", content, offset, *values)
    return bytes(content)


def bomb(shape: tuple[int, ...] = (512, 512, 400), more: int = 0) -> bytes:
    """An ordinary volume of zeros, and perhaps more behind it, which compresses to a thousandth of its size."""
    header = bytearray(volume(np.zeros((1, 1, 1), np.uint8))[:352])
    struct.pack_into("<8h", header, DIM, len(shape), *shape, *[1] * (7 - len(shape)))
    target = io.BytesIO()
    with gzip.GzipFile(fileobj=target, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(bytes(header))
        for _ in range(shape[2] + more):
            file.write(bytes(shape[0] * shape[1]))
    return target.getvalue()


def png(size: tuple[int, int], mode: str = "RGB", kind: str = "PNG") -> bytes:
    target = io.BytesIO()
    Image.new(mode, size).save(target, kind)
    return target.getvalue()


def filled(value: float) -> bytes:
    values = np.random.default_rng(0).normal(size=(20, 24, 16)).astype(np.float32)
    values[3, 3, 3] = value
    return volume(values)


RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
REFUSED_HEADERS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "99 dimensions": ("two to four axes", lambda: edited(DIM, "h", 99)),
    "0 dimensions": ("two to four axes", lambda: edited(DIM, "h", 0)),
    "negative dimensions": ("two to four axes", lambda: edited(DIM, "h", -3)),
    "empty axis": ("none empty", lambda: edited(DIM + 2, "h", 0)),
    "negative axis": ("none empty", lambda: edited(DIM + 2, "h", -20)),
    "huge axes": ("at most", lambda: edited(DIM + 2, "3h", 30000, 30000, 30000)),
    "five axes": ("two to four axes", lambda: volume(np.ones((2, 3, 4, 5, 6), np.float32))),
    "colours": ("real numbers", lambda: volume(np.zeros((20, 24, 16), RGB))),
    "complex": ("real numbers", lambda: volume(np.zeros((20, 24, 16), np.complex64))),
    "data type 999": ("999", lambda: edited(DATATYPE, "h", 999)),
    "voxels before the file": ("begin at byte", lambda: edited(OFFSET, "f", -1e9)),
    "voxels far behind": ("begin at byte", lambda: edited(OFFSET, "f", 1e9)),
    "voxels at NaN": ("begin at byte", lambda: edited(OFFSET, "f", np.nan)),
    "affine NaN": ("affine", lambda: edited(SROW, "f", np.nan)),
    "affine infinite": ("affine", lambda: edited(SROW + 12, "f", np.inf)),
    "affine flat": ("affine", lambda: edited(SROW, "f", 0.0)),
    "voxels of a kilometre": ("at most", lambda: volume(np.ones((20, 24, 16), np.float32), np.diag([1e5] * 3 + [1]))),
    "voxels of a light year": ("mm large", lambda: volume(np.ones((2, 2, 2), np.float32), np.diag([1e19] * 3 + [1]))),
    "text": ("readable image", lambda: b"no volume at all"),
    "nothing": ("readable image", lambda: b""),
    "zeros": ("readable image", lambda: bytes(1000)),
    "another header's first bytes": ("readable image", lambda: b"\x5c\x01\0\0" * 100),
}
"""Volumes by what is wrong with them, with words of the sentence that says so."""
