# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The search for a cutoff by the risks of single images.

Tested by tests/calibration/guarantees/test_confident.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from monai_coat.calibration.statistics.base import LARGEST, NO_PROMISE, Solution, Statistic

__all__ = ["solve_by"]

Keeps = Callable[[NDArray[np.float64]], bool]


def solve_by(statistic: Statistic, keeps: Keeps, rises: bool) -> tuple[Solution, ...]:
    """The most useful cutoff of each class at which the images' risks are as they should be.

    All float32 numbers are candidates, and thirty-two halvings find the last of them, exactly: where it holds at a
    cutoff, it holds at every safer one.

    Args:
        statistic: which keeps the risk of each image.
        keeps: whether risks are as they should be; true for smaller ones where it is for larger ones.
        rises: whether the risk rises with the cutoff.
    """
    found = []
    for index, n in enumerate(statistic.n):
        if not keeps(np.zeros(n)):
            found.append(NO_PROMISE if rises else Solution(LARGEST, 0.0))
            continue
        cutoff = _last(lambda c, index=index: keeps(_risks(statistic, index, c)), rises)  # type: ignore[misc]
        risks = _risks(statistic, index, cutoff)
        found.append(Solution(cutoff + 0.0, math.fsum(risks) / len(risks)))
    return tuple(found)


def _risks(statistic: Statistic, index: int, cutoff: float) -> NDArray[np.float64]:
    return statistic.risks_at([cutoff] * len(statistic.n))[index]


def _last(holds: Callable[[float], bool], rises: bool) -> float:
    """The last float32, from the safe end on, at which something holds."""
    safe, end = (_place(-LARGEST), _place(LARGEST)) if rises else (_place(LARGEST), _place(-LARGEST))
    if not holds(_float32(safe)):
        raise ValueError(f"risk must be low enough at the safest cutoff, {_float32(safe):g}, got more; raise alpha.")
    while abs(end - safe) > 1:
        middle = (safe + end) // 2
        safe, end = (middle, end) if holds(_float32(middle)) else (safe, middle)
    return _float32(safe)


def _place(value: float) -> int:
    """The place of a float32 among all, in order."""
    bits = int(np.float32(value).view(np.int32))
    return bits if bits >= 0 else -(bits & 0x7FFFFFFF)


def _float32(place: int) -> float:
    """The float32 at a place."""
    value = float(np.int32(abs(place)).view(np.float32))
    return value if place >= 0 else -value
