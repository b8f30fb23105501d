# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Entries of a statistic's state, which may come from a file that somebody else made.

Tested by tests/calibration/statistics/test_hostile_file.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray

__all__ = ["MOST_IMAGES", "array_in", "check_names", "check_tokens", "whole_in"]

MOST_IMAGES = 2**31
"""More images than anybody has: sums of that many rates still fit into 64 bits."""


def check_names(state: Any, names: Collection[str]) -> None:
    """Refuse a state with other entries than these.

    Raises:
        ValueError: naming those that are missing or not known.
    """
    if not isinstance(state, Mapping) or set(state) != set(names):
        given = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
        raise ValueError(f"entries must be {', '.join(sorted(names))}, got {str(given)[:200]}")


def array_in(state: Mapping[str, Any], name: str, dtype: DTypeLike, axes: int) -> NDArray[Any]:
    """The array under a name, of a type and number of axes.

    Raises:
        ValueError: if it is something else.
    """
    value = state[name]
    array = value.numpy() if isinstance(value, torch.Tensor) else None
    if array is None or array.dtype != np.dtype(dtype) or array.ndim != axes:
        given = type(value).__name__ if array is None else f"{array.dtype} of shape {array.shape}"
        raise ValueError(f"{name} must be {np.dtype(dtype)} with {axes} axes, got {given}")
    return array


def whole_in(state: Mapping[str, Any], name: str, most: int = MOST_IMAGES) -> int:
    """The whole number under a name, from 0 to ``most``.

    Raises:
        ValueError: if it is something else.
    """
    value = state[name]
    number = value.item() if isinstance(value, torch.Tensor) and value.ndim == 0 else value
    if not isinstance(number, int) or not 0 <= number <= most:
        raise ValueError(f"{name} must be a whole number from 0 to {most}, got {str(number)[:80]}")
    return int(number)


def check_tokens(images: Any) -> set[str]:
    """Tokens of images as a set.

    Raises:
        ValueError: if they are not different texts of 16 hexadecimal digits.
    """
    is_list = isinstance(images, list | tuple | set | frozenset)
    known = set(map(str, images)) if is_list else set()
    digits = set("0123456789abcdef")
    if not is_list or len(known) < len(images) or any(len(t) != 16 or not set(t) <= digits for t in known):
        raise ValueError("images must be different tokens of 16 hexadecimal digits each")
    return known
