# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A JSON file that is written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

__all__: list[str] = []


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write beside ``path`` and rename, so that an interrupted run leaves the old file or none; makes folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, allow_nan=False)
            file.write("\n")
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read_json(path: Path, what: str, remedy: str) -> dict[str, Any]:
    """Read a JSON object; ``what`` and ``remedy`` complete the messages if there is none."""
    if not path.is_file():
        raise FileNotFoundError(f"{what} must be a file, got {path}, which does not exist; {remedy}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{what} must be a JSON file, got {path}, which is none ({error}); {remedy}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{what} must hold a JSON object, got a {type(content).__name__} in {path}; {remedy}.")
    return content
