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
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST", "array_shapes", "arrays_of", "read_arrays", "write_arrays"]

LARGEST = 2**29
"""Bytes that a file of arrays may unpack to, unless more is asked for: 134 million scores."""

DIRECTORY = 2**20
"""Bytes of a zip file's directory, from which objects in memory are made that are ten times as large."""

CHUNK = 2**22
"""Bytes that are unpacked at a time: an array is never in memory twice."""

ENCRYPTED = 1
PLAIN = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


def read_arrays(path: Path, largest: int = LARGEST, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Arrays by name.

    Args:
        path: the file.
        largest: bytes that its arrays may have together.
        names: which are wanted; None for all.

    Raises:
        ValueError: if the file would unpack to more, or is no file of arrays as NumPy writes them.
        Exception: whatever zip and NumPy raise about damaged files, ``MemoryError`` and ``RecursionError`` too.
    """
    with _opened(path, largest) as content:
        wanted = {name: entry for name, entry in _entries(content).items() if names is None or name in names}
        return {name: _read(content, entry) for name, entry in wanted.items()}


def array_shapes(path: Path, largest: int = LARGEST) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays by name, from their headers; as :func:`read_arrays`."""
    with _opened(path, largest) as content:
        shapes = {}
        for name, entry in _entries(content).items():
            with content.open(entry) as file:
                shapes[name] = _header(file, entry.filename)[0]
        return shapes


@contextmanager
def _opened(path: Path, largest: int) -> Iterator[zipfile.ZipFile]:
    """The file, if its directory is credible."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no regular file")
        with _checked(file, status.st_size, largest) as content:
            yield content


@contextmanager
def _checked(file: IO[bytes], size: int, largest: int) -> Iterator[zipfile.ZipFile]:
    _check_end(file, size)
    with zipfile.ZipFile(file) as content:
        _check_entries(content.infolist(), largest)
        yield content


def arrays_of(content: bytes, largest: int = LARGEST) -> dict[str, NDArray[Any]]:
    """:func:`read_arrays` for the bytes of such a file."""
    with _checked(io.BytesIO(content), len(content), largest) as opened:
        return {name: _read(opened, entry) for name, entry in _entries(opened).items()}


def _entries(content: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    return {entry.filename.removesuffix(".npy"): entry for entry in content.infolist()}


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
        values = np.empty(expected, np.uint8)
        rest = memoryview(values)  # type: ignore[arg-type]  # NumPy's stubs are of Python 3.12
        while rest and (part := file.read(min(CHUNK, len(rest)))):
            rest[: len(part)] = part
            rest = rest[len(part) :]
    if len(rest):
        raise ValueError(f"{entry.filename!r} must have {expected} bytes, got {expected - len(rest)}")
    return values.view(dtype).reshape(shape, order="F" if fortran else "C")


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
