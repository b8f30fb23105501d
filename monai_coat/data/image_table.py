# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A table of images: what is known of each beside its pixels, such as its site or patient."""

from __future__ import annotations

import csv
import os
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from monai_coat.files.names import kind_of

__all__ = ["column_of", "read_image_table"]

ImageTable = Mapping[str, Mapping[str, str]]
DELIMITERS = ",;\t"


def read_image_table(path: str | os.PathLike[str]) -> ImageTable:
    r"""Read a CSV file with a row for each image: a column ``id`` and others, all of them text.

    The first line names the columns, which are separated by commas, semicolons or tabs. An id is the name of an image's
    file without folder and ending. Spaces around a name or value are dropped, and letters with accents are composed, as
    in names of files. Empty lines are passed over, and a value may be empty.

    Args:
        path: the file, in UTF-8, with or without a mark of byte order.

    Returns:
        The other columns by id, in the order of the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the line, if there is no column ``id``, a column or id occurs twice, an id is empty, a row
            has more or fewer values than there are columns, or there is no row at all.

    Example:
        >>> path = getfixture("tmp_path") / "images.csv"
        >>> _ = path.write_text("id,site\na1,north\na2,south\n")
        >>> table = read_image_table(path)
        >>> list(table), table["a2"]["site"]
        (['a1', 'a2'], 'south')
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"table must be a file, got {path}, which {kind_of(path)}; write one with a column id.")
    try:
        rows = _rows(path.read_text(encoding="utf-8-sig"))
        columns = _columns(rows[0][1] if rows else [])
        return _entries(columns, rows[1:])
    except (ValueError, csv.Error) as error:
        raise ValueError(
            f"table must be a CSV file in UTF-8 with a row for each image, got {path} ({error}); correct it."
        ) from None


def column_of(table: ImageTable, key: str, ids: Iterable[str]) -> dict[str, str]:
    """The values of one column for the images that are asked for.

    Args:
        table: as :func:`read_image_table` gives it.
        key: name of the column.
        ids: the images; the table may have others, too.

    Returns:
        The values by id, in the order of the ids; none is empty.

    Raises:
        ValueError: if there is no such column, an image has no row, or its value is empty.

    Example:
        >>> column_of({"a1": {"site": "north"}, "a2": {"site": "south"}}, "site", ["a2"])
        {'a2': 'south'}
    """
    ids = list(ids)
    missing = [name for name in ids if name not in table]
    if missing:
        raise ValueError(
            f"table must have a row for each image, got none for {len(missing)} of {len(ids)}, such as {missing[0]!r}; "
            "ids are names of files without folder and ending."
        )
    columns = list(next(iter(table.values()), {}))
    if key not in columns:
        raise ValueError(f"key must be a column of the table, {', '.join(columns) or 'none'}, got {key!r}; name one.")
    empty = [name for name in ids if not table[name][key]]
    if empty:
        raise ValueError(
            f"table must say the {key!r} of each image, got none for {len(empty)} of {len(ids)}, such as "
            f"{empty[0]!r}; fill it in, with 'unknown' if need be."
        )
    return {name: table[name][key] for name in ids}


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Lines that are not empty, by the number that each ends at."""
    first = text.lstrip().partition("\n")[0]
    reader = csv.reader(text.splitlines(keepends=True), delimiter=max(DELIMITERS, key=first.count), strict=True)
    stripped = ((reader.line_num, [unicodedata.normalize("NFC", value.strip()) for value in row]) for row in reader)
    return [(line, row) for line, row in stripped if any(row)]


def _columns(names: list[str]) -> list[str]:
    if "id" not in names:
        raise ValueError(f"its first line must name a column 'id', got {', '.join(names) or 'nothing'}")
    if len(set(names)) < len(names):
        raise ValueError(f"columns must have different names, got {max(names, key=names.count)!r} twice")
    return names


def _entries(columns: list[str], rows: list[tuple[int, list[str]]]) -> ImageTable:
    found: dict[str, Mapping[str, str]] = {}
    for line, row in rows:
        if len(row) != len(columns):
            raise ValueError(f"line {line} must have {len(columns)} values, got {len(row)}")
        entry = dict(zip(columns, row, strict=True))
        name = entry.pop("id")
        if not name:
            raise ValueError(f"line {line} must have an id, got none")
        if name in found:
            raise ValueError(f"ids must be there once, got {name!r} again in line {line}")
        found[name] = MappingProxyType(entry)
    if not found:
        raise ValueError("it must have at least one image, got none")
    return MappingProxyType(found)
