# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The level that a request asks for.

Tested by tests/apps/test_objects.py.
"""

from __future__ import annotations

from typing import Any

__all__ = ["alpha_of"]


def alpha_of(value: Any) -> float | None:
    """A number, or the first of the options that a viewer sends back untouched; None for the default.

    Raises:
        ValueError: if it is none of these.

    Example:
        >>> alpha_of([0.1, 0.2]), alpha_of("0.3"), alpha_of(None)
        (0.1, 0.3, None)
    """
    first = (value[0] if value else None) if isinstance(value, list | tuple) else value
    if first is None or first == "":
        return None
    try:
        if isinstance(first, bool | list | dict):
            raise TypeError
        return float(first)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"alpha must be a number in (0, 1), got {ascii(value)[:60]}; name a calibrated level."
        ) from None
