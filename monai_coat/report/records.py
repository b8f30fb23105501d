# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Records of images: checked, kept in a file, and those of the predictor that takes every pixel."""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

from monai_coat.files.atomic import replacing
from monai_coat.metrics import ImageRecord

__all__ = ["ImageRecord", "load_records", "predict_all_records", "save_records"]

COLUMNS = tuple(field.name for field in fields(ImageRecord))
KINDS = {"name": str, "coverage": float, "difficulty": float}  # the others are counts of pixels


def predict_all_records(records: Iterable[ImageRecord]) -> list[ImageRecord]:
    """Records of the predictor that takes every pixel of the same images.

    Its coverage is 1 on every image, so that its coverage gap is exactly alpha; what it costs shows in its set size.

    Args:
        records: records of any method.

    Returns:
        One record for each, in the same order; coverage stays NaN without foreground.

    Example:
        >>> predict_all_records([ImageRecord("a", 0.5, 3, 2, 4, 16, 0.25)])[0].relative_set_size
        4.0
    """
    return [
        replace(r, coverage=1.0 if r.foreground else math.nan, set_size=r.pixels, true_positives=r.foreground)
        for r in records
    ]


def save_records(records: Iterable[ImageRecord], path: str | os.PathLike[str]) -> None:
    """Write records to a CSV file, one line per image; numbers are written so that they are read back unchanged.

    Args:
        records: records of one method.
        path: file to write, replaced as a whole if it exists; its folder is made.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for record in records:
            writer.writerow([_plain(column, getattr(record, column)) for column in COLUMNS])


def load_records(path: str | os.PathLike[str]) -> list[ImageRecord]:
    """Read records that :func:`save_records` wrote.

    Args:
        path: file to read.

    Returns:
        The records in the order of the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the columns are others, or a cell holds no number where there must be one.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"path must be a file of records, got {path}, which does not exist; write it with save_records."
        )
    with Path(path).open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if tuple(header) != COLUMNS:
            raise ValueError(
                f"path must have the columns {','.join(COLUMNS)}, got {','.join(header) or 'none'} in {path}; "
                "write it with save_records."
            )
        return [_record(row, f"line {reader.line_num} of {path}") for row in reader]


def _plain(column: str, value: object) -> str:
    """A cell; through Python's own number, because NumPy's print their type as well."""
    kind = KINDS.get(column, int)
    return str(value) if kind is str else repr(kind(value))


def _record(row: Sequence[str], where: str) -> ImageRecord:
    try:
        cells = {column: KINDS.get(column, int)(cell) for column, cell in zip(COLUMNS, row, strict=True)}
    except ValueError as error:
        raise ValueError(
            f"{where} must hold {len(COLUMNS)} cells, a name and numbers, got {','.join(row)!r} ({error}); "
            "write the file again with save_records."
        ) from None
    return ImageRecord(**cells)


def with_foreground(records: Sequence[ImageRecord], method: str) -> list[ImageRecord]:
    """The records of images that have something to miss; their coverage must be a share."""
    present = [record for record in records if record.foreground]
    if not present:
        raise ValueError(
            f"records of {method!r} must hold at least one image with foreground, got {len(records)} without; "
            "test on images that have something to miss."
        )
    for record in present:
        if not 0.0 <= record.coverage <= 1.0:  # NaN as well
            raise ValueError(
                f"coverage must be in [0, 1] on images with foreground, got {record.coverage} for {record.name!r} of "
                f"{method!r}; record true_positives / foreground."
            )
    return present


def check_same_images(records: Mapping[str, Sequence[ImageRecord]]) -> None:
    """Require the records of at least one method, and those of all methods to be of the same images."""
    if not records:
        raise ValueError("records must hold at least one method, got none; map the name of each to its records.")
    counts = {method: Counter(map(identity, of_method)) for method, of_method in records.items()}
    first = next(iter(records))
    for method, count in counts.items():
        different = [*(count - counts[first]), *(counts[first] - count)]
        if different:
            raise ValueError(
                f"records must be of the same images for every method, got {len(different)} that differ between "
                f"{first!r} and {method!r} by name, foreground or pixels, such as {different[0][0]!r}; "
                "evaluate every method on one test set."
            )


def identity(record: ImageRecord) -> tuple[str, int, int]:
    """What tells an image from the others; names alone may repeat where datasets are joined."""
    return record.name, record.foreground, record.pixels
