# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the slices of one volume have in common, and what each has alone.

Tested by tests/data/test_dicom_series.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["COMMON", "COMMON_IF_SAID", "check_agreement"]

COMMON = ("SeriesInstanceUID", "Rows", "Columns", "PixelSpacing", "ImageOrientationPatient")
"""What all slices of a volume must say alike."""

COMMON_IF_SAID = ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID")
"""What all slices must say alike, or none of them."""

SAME = 1e-4
"""How far direction cosines and pixel spacings of slices may differ: over 500 pixels that is 0.05 of one."""


def check_agreement(headers: Sequence[Any], files: Sequence[Path]) -> None:
    """Refuse headers of different volumes, patients or studies, and one that is there twice.

    Raises:
        ValueError: naming the element and the files.
    """
    first, seen = headers[0], dict[str, Path]()
    for header, file in zip(headers, files, strict=True):
        for keyword in (*COMMON, *COMMON_IF_SAID):
            here, there = header.get(keyword), first.get(keyword)
            if not _same(here, there):
                raise ValueError(
                    f"slices must be of one volume, got {keyword} {_said(here)} in {file} and {_said(there)} in "
                    f"{files[0]}; give each volume a folder of its own."
                )
        uid = str(header.SOPInstanceUID)
        if uid in seen:
            raise ValueError(
                f"slices must be different images, got the SOPInstanceUID {uid} in {file} and in {seen[uid]}; leave "
                "the copy out, or correct its header."
            )
        seen[uid] = file


def _same(here: Any, there: Any) -> bool:
    if here in (None, "") or there in (None, ""):
        return here in (None, "") and there in (None, "")
    if isinstance(here, str | int) or not isinstance(here, Sequence):  # names of people are neither
        return bool(here == there)
    return np.allclose([float(value) for value in here], [float(value) for value in there], atol=SAME, rtol=0)


def _said(value: Any) -> str:
    return "nothing" if value in (None, "") else str(value)
