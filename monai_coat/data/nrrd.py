# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""NRRD volumes: one file, whole, in the space that its header names, or refused by name."""

from __future__ import annotations

import math
import os
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import optional_import
from numpy.typing import NDArray

from monai_coat.data.grids import Grid, check_affine
from monai_coat.files import replacing
from monai_coat.files.names import kind_of

nrrd, _ = optional_import("nrrd")

__all__ = ["nrrd_grid", "read_nrrd", "write_nrrd"]

MOST_VALUES = 2**29
LONGEST_HEADER = 2**16

TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"}
TYPES |= {"float": "f4", "double": "f8", "signed char": "i1", "unsigned char": "u1", "unsigned short": "u2"}
TYPES |= {f"{sign}int{8 * size}": f"{sign or 'i'}{size}" for sign in ("", "u") for size in (1, 2, 4, 8)}
TYPES |= {f"{name}_t": kind for name, kind in TYPES.items() if name[-1].isdigit()}
"""Types of values that are read, by the names that the format has for them."""

TO_RAS = {"left-posterior-superior": (-1, -1, 1), "right-anterior-superior": (1, 1, 1)}
TO_RAS |= {"left-anterior-superior": (-1, 1, 1), "": (1, 1, 1)}
TO_RAS |= {"".join(word[0] for word in name.split("-")): signs for name, signs in TO_RAS.items() if name}
"""Signs that turn the axes of a space into those that point right, to the front and up."""

Path_ = str | os.PathLike[str]


def read_nrrd(path: Path_, dtype: type | None = np.float32) -> MetaTensor:
    """Read an NRRD file of three spatial axes, and perhaps one of channels, as ``(channels, *spatial)``.

    The affine is that of "space directions" and "space origin", with axes that point right, to the front and up, as
    those of NIfTI do; without a space they are taken as they are.

    Args:
        path: the file; its values must be in it, raw or compressed by gzip.
        dtype: in which precision the values are wanted; None for that of the file.

    Raises:
        ValueError: naming the file, if it cannot be read.
    """
    with _opened(path) as file:
        header = _header(file, path)
        affine, channel = _placed(header, path)
        try:
            values = _values(file, header)
        except (EOFError, ValueError, zlib.error) as error:
            raise _unreadable(path, error) from None
    values = values[None] if channel is None else np.moveaxis(values, channel, 0)
    tensor = torch.from_numpy(np.ascontiguousarray(values, dtype or values.dtype.newbyteorder("=")))
    meta = {"filename_or_obj": str(path), "original_affine": affine, "spatial_shape": np.array(values.shape[1:])}
    return MetaTensor(tensor, affine=torch.from_numpy(affine), meta=meta)


def nrrd_grid(path: Path_) -> Grid:
    """The grid of an NRRD file, from its header."""
    with _opened(path) as file:
        header = _header(file, path)
    affine, channel = _placed(header, path)
    return affine, tuple(int(length) for axis, length in enumerate(header["sizes"]) if axis != channel)


def write_nrrd(values: NDArray[Any], affine: NDArray[np.float64], path: Path_) -> None:
    """Write ``(*spatial)`` as NRRD, in the space "left-posterior-superior", which readers expect.

    The file is written whole or not at all.
    """
    flip = np.diag([*TO_RAS["left-posterior-superior"], 1.0])
    placed = flip @ affine
    header = {
        "space": "left-posterior-superior",
        "space directions": placed[:3, :3].T,
        "space origin": placed[:3, 3],
        "kinds": ["domain"] * 3,
        "encoding": "gzip",
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        nrrd.write(file, values, header)


def _opened(path: Path_) -> IO[bytes]:
    if not os.path.isfile(path):
        raise _unreadable(path, ValueError(f"it {kind_of(path)}"))
    return Path(path).open("rb")


def _header(file: IO[bytes], path: Path_) -> dict[str, Any]:
    """The header, whose end is where the values begin; everything that would lead to another file is refused."""
    start = file.read(LONGEST_HEADER)
    end = start.find(b"\n\n") if b"\n\n" in start else start.find(b"\r\n\r\n") + 2
    if not start.startswith(b"NRRD") or end < 2:
        raise _unreadable(path, ValueError("it does not begin as one"))
    try:
        header: dict[str, Any] = dict(
            nrrd.read_header(start[:end].decode("utf-8", "replace").splitlines(keepends=True))
        )
        elsewhere = {"data file", "datafile", "line skip", "lineskip", "byte skip", "byteskip"} & header.keys()
        if elsewhere:
            raise ValueError(f"its values must follow the header, got the field {min(elsewhere)!r}")
        sizes = [int(length) for length in header["sizes"]]
        if header["type"] not in TYPES or min(sizes) < 1 or len(sizes) != header["dimension"]:
            raise ValueError(f"it must hold real numbers, got {header['type']} of sizes {sizes}")
        if math.prod(sizes) > MOST_VALUES:  # before anything is unpacked
            raise ValueError(f"it says that it has {math.prod(sizes)} values, more than {MOST_VALUES}")
    except Exception as error:  # a text, about which its parser raises a dozen kinds
        if type(error).__name__ == "OptionalImportError":
            raise
        raise _unreadable(path, error) from None
    file.seek(end + start[end:].find(b"\n", 1) + 1)
    return header


def _values(file: IO[bytes], header: dict[str, Any]) -> NDArray[Any]:
    """The values in the order of axes of the header, of which the first one varies fastest."""
    dtype = np.dtype(TYPES[header["type"]])
    if dtype.itemsize > 1:
        if header.get("endian") not in ("little", "big"):
            raise ValueError(f"it must say 'endian: little' or 'endian: big', got {header.get('endian')}")
        dtype = dtype.newbyteorder("<" if header["endian"] == "little" else ">")
    sizes = tuple(int(length) for length in header["sizes"])
    expected = math.prod(sizes) * dtype.itemsize
    encoding = header.get("encoding")
    if encoding in ("gzip", "gz"):
        content = zlib.decompressobj(31).decompress(file.read(), expected + 1)
    elif encoding == "raw":
        content = file.read(expected + 1)
    else:
        raise ValueError(f"its encoding must be raw or gzip, got {encoding}")
    if len(content) != expected:
        raise EOFError(f"it must have {expected} bytes of values, got {'more' if len(content) > expected else 'fewer'}")
    return np.frombuffer(content, dtype).reshape(sizes, order="F")


def _placed(header: dict[str, Any], path: Path_) -> tuple[NDArray[np.float64], int | None]:
    """The affine, and which axis is that of channels, if any."""
    count = len(header["sizes"])
    spacings = np.asarray(header.get("spacings", np.ones(count)), dtype=float)
    plain = np.diag(spacings) if count == 3 else None
    rows = header.get("space directions", plain)
    space = str(header.get("space", "")).lower()
    try:
        if rows is None or space not in TO_RAS:
            raise ValueError(f"its space must be one of {', '.join(filter(None, TO_RAS))}, got {space or 'none'}")
        rows = np.array([[math.nan] * 3 if row is None else row for row in rows], dtype=float)
        spatial = [axis for axis, row in enumerate(rows) if not np.isnan(row).any()]
        if len(rows) != count or len(spatial) != 3 or count > 4:
            raise ValueError(f"it must have three spatial axes, and at most one of channels, got {len(spatial)}")
        affine = np.eye(4)
        affine[:3, :3] = rows[spatial].T
        affine[:3, 3] = np.asarray(header.get("space origin", np.zeros(3)), dtype=float)
    except (TypeError, ValueError) as error:
        raise _unreadable(path, error) from None
    affine = np.diag([*TO_RAS[space], 1.0]) @ affine
    check_affine(affine, path)
    channel = next((axis for axis in range(count) if axis not in spatial), None)
    return affine, channel


def _unreadable(path: Path_, error: Exception) -> ValueError:
    said = str(error) or type(error).__name__
    return ValueError(f"volume must be a readable NRRD file, got {path} ({said}); replace the file.")
