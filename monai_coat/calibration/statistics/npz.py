# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Arrays of an ``.npz`` file or message that somebody else made: its directory and headers are believed in nothing.

Sizes are looked at before anything is unpacked, so that a small file cannot fill the memory, and objects are never
unpickled.

Tested by tests/calibration/statistics/test_hostile_file.py.
"""

from __future__ import annotations

import io
import math
import os
import stat
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST", "arrays_of", "read_arrays", "write_arrays"]

LARGEST = 2**29
"""Bytes that a file of arrays may unpack to, unless more is asked for: 134 million scores."""

DIRECTORY = 2**20
"""Bytes of a zip file's directory, from which objects in memory are made that are ten times as large."""

ENCRYPTED = 1
PLAIN = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


def read_arrays(path: Path, largest: int = LARGEST) -> dict[str, NDArray[Any]]:
    """Arrays by name.

    Args:
        path: the file.
        largest: bytes that they may have together.

    Raises:
        ValueError: if the file would unpack to more, or is no file of arrays as NumPy writes them.
        Exception: whatever zip and NumPy raise about damaged files, ``MemoryError`` and ``RecursionError`` too.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no regular file")
        return _arrays(file, status.st_size, largest)


def arrays_of(content: bytes, largest: int = LARGEST) -> dict[str, NDArray[Any]]:
    """:func:`read_arrays` for the bytes of such a file."""
    return _arrays(io.BytesIO(content), len(content), largest)


def _arrays(file: IO[bytes], size: int, largest: int) -> dict[str, NDArray[Any]]:
    _check_end(file, size)
    with zipfile.ZipFile(file) as content:
        entries = content.infolist()
        _check_entries(entries, largest)
        return {entry.filename.removesuffix(".npy"): _read(content, entry) for entry in entries}


def _check_end(file: IO[bytes], size: int) -> None:
    """Refuse a directory that is too large to be read, by what the end of the file says about it."""
    file.seek(max(size - 2**16 - 22, 0))
    tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) < place + 22:
        raise ValueError("it is no zip file, or was cut short")
    (directory,) = struct.unpack("<12xI6x", tail[place : place + 22])
    is_large = tail[max(place - 20, 0) : place].startswith(b"PK\x06\x07") and size < 2**31
    if is_large or (directory > DIRECTORY and size < 2**31):
        raise ValueError(f"its directory must have at most {DIRECTORY} bytes")
    file.seek(0)


def _check_entries(entries: list[zipfile.ZipInfo], largest: int) -> None:
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names):
        raise ValueError(f"arrays must have different names, got {max(names, key=names.count)!r} twice")
    for entry in entries:
        folders = entry.filename.split("/")
        if not entry.filename.endswith(".npy") or {"", ".", ".."} & set(folders) or "\\" in entry.filename:
            raise ValueError(f"entries must be arrays, got {entry.filename[:80]!r}")
        if entry.flag_bits & ENCRYPTED or entry.compress_type not in PLAIN:
            raise ValueError(f"arrays must be stored plainly or deflated, got {entry.filename[:80]!r} in another way")
    total = sum(entry.file_size for entry in entries)
    if total > largest:
        raise ValueError(
            f"arrays must have at most {largest} bytes together, got {total}; allow more (largest) if it is meant"
        )


def _read(content: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    """An array whose header agrees with the size that the directory says; reading stops there."""
    with content.open(entry) as file:
        shape, fortran, dtype = _header(file, entry.filename)
        if dtype.kind not in "biufcU" or dtype.itemsize == 0 or min(shape, default=0) < 0:
            raise ValueError(f"arrays must be of numbers or text, got {dtype} of shape {shape} in {entry.filename!r}")
        expected, present = math.prod(shape) * dtype.itemsize, entry.file_size - file.tell()
        if expected != present:
            raise ValueError(f"{entry.filename!r} must have {expected} bytes by its header, got {present}")
        values = np.frombuffer(bytearray(file.read()), dtype)
    return values.reshape(shape, order="F" if fortran else "C")


def _header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order of axes and type of an array."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(f"arrays must be of NumPy's format 1.0, got {name!r} in another")
    try:
        return np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # a text of Python, about which its parser raises a dozen kinds
        raise ValueError(f"{name!r} must have a header as NumPy writes it, got another ({error})") from None


def write_arrays(file: IO[bytes], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as ``numpy.savez_compressed`` does, but without the time: equal arrays are equal bytes."""
    with zipfile.ZipFile(file, "w") as content:
        for name, array in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, array, version=(1, 0), allow_pickle=False)
            content.writestr(zipfile.ZipInfo(f"{name}.npy"), data.getbuffer(), zipfile.ZIP_DEFLATED)
