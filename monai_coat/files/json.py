# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A JSON file that is written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from monai_coat.files.atomic import replacing

__all__ = ["read_json", "write_json"]


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
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no JSON, or holds something else than an object.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{what} must be a file, got {path}, which does not exist; {remedy}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} must be a JSON file, got {path}, which is none ({error}); {remedy}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{what} must hold a JSON object, got a {type(content).__name__} in {path}; {remedy}.")
    return content
