# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Stamps of files and transforms, so that what was made by them is not used after they have changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from monai.data.utils import pickle_hashing

from monai_coat.calibration.settings import digest_of_settings

__all__ = ["file_stamps", "hash_of_transforms", "hash_with_files"]

KEYS = ("image", "label", "probs")


def file_stamps(samples: Iterable[Mapping[str, Any]]) -> list[tuple[str, int, int]]:
    """Name, size in bytes and time of the last change of every file of a data list.

    The folder does not count, so that a collection can be moved with what was made of it. Of a DICOM series, which is a
    folder itself, every file counts.

    Args:
        samples: dictionaries with paths under ``image``, ``label`` or ``probs``.

    Example:
        >>> import os
        >>> path = getfixture("tmp_path") / "a.png"
        >>> _ = path.write_bytes(b"123")
        >>> os.utime(path, (0, 0))
        >>> file_stamps([{"image": str(path)}])
        [('a.png', 3, 0)]
    """
    paths = [Path(sample[key]) for sample in samples for key in KEYS if isinstance(sample.get(key), str)]
    files = [(name, file.stat()) for path in paths for name, file in _files(path)]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files]


def _files(path: Path) -> list[tuple[str, Path]]:
    """A file with its name, or those of a folder with the names of both."""
    if not path.is_dir():
        return [(path.name, path)]
    return [(f"{path.name}/{file.name}", file) for file in sorted(path.iterdir())]


def hash_with_files(item: Any) -> bytes:
    """MONAI's hash of an item of a data list, with the stamps of its files: for caches, as ``hash_func``.

    A cache goes by paths else, and a corrected mask is not seen.
    """
    stamps = file_stamps([item]) if isinstance(item, Mapping) else []
    return pickle_hashing([item, stamps])


def hash_of_transforms(transforms: Any) -> bytes:
    """A hash of every setting of transforms, their segmenters and inferers: for caches, as ``hash_transform``.

    A cache goes by the items else, and is used on when a window or a range of intensities is another one.
    """
    return digest_of_settings(transforms).encode()
