# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The one form in which configs are written.

Tested by tests/bundles/test_configs.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_coat.files import replacing

__all__ = ["config_text", "write_config"]

_STEP, _WIDTH = 4, 120


def config_text(content: Mapping[str, Any]) -> str:
    r"""A config as JSON text: four spaces a level, and lists of plain values in one line if they fit.

    Example:
        >>> print(config_text({"size": [96, 96], "network": {"act": "RELU", "layers": [{"out": 2}]}}), end="")
        {
            "size": [96, 96],
            "network": {
                "act": "RELU",
                "layers": [
                    {
                        "out": 2
                    }
                ]
            }
        }
    """
    return _text(content, 0) + "\n"


def _text(value: Any, column: int) -> str:
    line, inside, after = json.dumps(value), " " * (column + _STEP), " " * column
    if isinstance(value, Mapping) and value:
        rows = [f"{json.dumps(str(key))}: {_text(item, column + _STEP)}" for key, item in value.items()]
        return "{\n" + ",\n".join(inside + row for row in rows) + f"\n{after}}}"
    plain = not isinstance(value, list) or not any(isinstance(item, dict | list) for item in value)
    if not isinstance(value, list) or not value or (plain and column + len(line) <= _WIDTH - 2 * _STEP):
        return line
    return "[\n" + ",\n".join(inside + _text(item, column + _STEP) for item in value) + f"\n{after}]"


def write_config(path: Path, content: Mapping[str, Any]) -> Path:
    """Write a config as :func:`config_text` lays it out, whole or not at all; returns the path."""
    with replacing(path) as temporary:
        temporary.write_text(config_text(content), encoding="utf-8")
    return path
