# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""JSON objects that a client sends.

Tested by tests/apps/test_objects.py.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

__all__ = ["json_object"]

LARGEST = 2**63
DEEPEST = 30


def json_object(text: str | bytes, name: str, optional: bool = False) -> dict[str, Any]:
    """Read a JSON object whose numbers are finite and of 64 bits: what other programs read alike.

    Args:
        text: the JSON; UTF-8 if it is bytes.
        name: for messages.
        optional: whether null is an empty object.

    Raises:
        ValueError: with a sentence, if it is anything else.

    Example:
        >>> json_object('{"alpha": 0.1}', "params")
        {'alpha': 0.1}
        >>> json_object('{"alpha": NaN}', "params")
        Traceback (most recent call last):
        ...
        ValueError: params must be a JSON object, got something else (NaN is no number); send one like {"alpha": 0.1}.
    """
    try:
        content = json.loads(text, parse_constant=_no_number)
        _check(content, 0)
        if content is None and optional:
            return {}
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__}")
    except (ValueError, RecursionError) as error:
        what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise ValueError(
            f'{name} must be a JSON object, got something else ({what}); send one like {{"alpha": 0.1}}.'
        ) from None
    return content


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _check(value: Any, depth: int) -> None:
    """Refuse what Python reads and others do not: numbers without an end, and depths without a bottom."""
    if depth > DEEPEST:
        raise RecursionError
    if isinstance(value, dict | list):
        for each in [*value, *value.values()] if isinstance(value, dict) else value:
            _check(each, depth + 1)
    elif isinstance(value, int | float) and not abs(value) < LARGEST:
        raise ValueError("a number is larger than 64 bits hold")
    elif isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError("a text has half a letter")
