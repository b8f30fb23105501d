# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""JSON files: written whole or not at all, and read as strictly as the standard says."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from monai_coat.files.atomic import replacing
from monai_coat.files.names import kind_of

__all__ = ["LARGEST", "parse_json", "read_json", "write_json"]

LARGEST = 2**27
"""Bytes of a JSON file: in memory it is some ten times as large."""


def write_json(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write a JSON object as :func:`~monai_coat.files.replacing` does; numbers must be finite.

    Example:
        >>> path = getfixture("tmp_path") / "a.json"
        >>> write_json(path, {"n": 3})
        >>> read_json(path, "the example", "write it first")
        {'n': 3}
    """
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: str | os.PathLike[str], what: str, remedy: str) -> dict[str, Any]:
    """Read a JSON object; ``what`` and ``remedy`` complete the messages if there is none.

    Raises:
        FileNotFoundError: if there is no such file, or something else is there; a pipe is not waited for.
        ValueError: if the file is no JSON as :func:`parse_json` reads it, is larger than :data:`LARGEST`, or holds
            something else than an object.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{what} must be a file, got {path}, which {kind_of(path)}; {remedy}.")
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"{what} must be a JSON file of at most {LARGEST} bytes, got {size} in {path}; {remedy}.")
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{what} must be a JSON file, got {path}, which is none ({error}); {remedy}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{what} must hold a JSON object, got a {type(content).__name__} in {path}; {remedy}.")
    return content


def parse_json(text: str) -> Any:
    """The value of a JSON text in which every name is there once and every number is finite.

    Raises:
        ValueError: if the text is no JSON, or nested too deep; Python alone takes NaN, and the last of equal names.

    Example:
        >>> parse_json('{"n": 99, "n": 100}')
        Traceback (most recent call last):
        ...
        ValueError: names must be there once, got 'n' twice
    """
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_finite, parse_float=_finite, parse_int=_whole
        )
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"names must be there once, got {max(names, key=names.count)[:80]!r} twice")
    return content


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"numbers must be finite, got {text[:80]}")
    return value


def _whole(text: str) -> int:
    _finite(text)  # what no float holds is no number of anything
    return int(text)
