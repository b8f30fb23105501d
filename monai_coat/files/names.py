# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Names of files: what an image is called, and what there is under a name."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

__all__ = ["ARRAYS", "MAPS", "SUFFIXES", "is_array", "is_nrrd", "is_volume", "kind_of", "stem_of", "suffix_of"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".nii", ".nii.gz")
"""Endings of image files, in small letters."""

NRRD = ".nrrd"
ARRAYS = (".npy", ".npz")
"""Endings of NumPy's files."""

MAPS = (*SUFFIXES, NRRD, *ARRAYS)
"""Endings of files in which predictions and their labels may be."""


def suffix_of(path: str | os.PathLike[str], among: Sequence[str] = SUFFIXES) -> str:
    """The ending of a file, one of ``among``; empty if it has none of these."""
    name = Path(path).name.lower()
    return max((suffix for suffix in among if name.endswith(suffix)), key=len, default="")


def is_volume(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a NIfTI or NRRD volume, by its ending."""
    return suffix_of(path).startswith(".nii") or is_nrrd(path)


def is_nrrd(path: str | os.PathLike[str]) -> bool:
    """Whether a file is an NRRD volume, by its ending."""
    return suffix_of(path, MAPS) == NRRD


def is_array(path: str | os.PathLike[str]) -> bool:
    """Whether a file is an array of NumPy's, by its ending."""
    return suffix_of(path, ARRAYS) != ""


def stem_of(path: str | os.PathLike[str]) -> str:
    """The name of a file without folder and ending; dots inside a name, as in a DICOM UID, belong to it.

    Of a file that is no image by its ending, the last part after a dot goes. Letters with accents are composed, so that
    names from different systems are equal.

    Example:
        >>> stem_of("maps/case.1.nii.gz"), stem_of("1.2.840.png"), stem_of("notes.txt")
        ('case.1', '1.2.840', 'notes')
    """
    name, suffix = unicodedata.normalize("NFC", Path(path).name), suffix_of(path, MAPS)
    return name[: -len(suffix)] if suffix else Path(name).stem


def kind_of(path: str | os.PathLike[str]) -> str:
    """What there is under a name, for messages about those that are no file; nothing is opened.

    Example:
        >>> kind_of(getfixture("tmp_path")), kind_of("none.txt")
        ('is a folder', 'does not exist')
    """
    if os.path.isdir(path):
        return "is a folder"
    if os.path.isfile(path):
        return "is a file"
    if os.path.exists(path):
        return "is a device or a pipe"
    return "is a link to nothing" if os.path.islink(path) else "does not exist"
