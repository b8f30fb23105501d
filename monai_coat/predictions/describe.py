# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A calibration of saved maps in words: what to take of a new map.

Tested by tests/predictions/test_folders.py.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import torch

from monai_coat.calibration import CalibrationResult, printed_cutoffs, risk_named
from monai_coat.functional import float32_below
from monai_coat.functional.places import SATURATED
from monai_coat.predictions.calibrate import CalibratedMaps
from monai_coat.scorers import margin_of

__all__ = ["describe_calibration", "plain_values"]

WHOLE = {"8 bit": 255, "16 bit": 65535}


def describe_calibration(calibrated: CalibratedMaps) -> str:
    """What to take of a new map, class by class, and what is promised.

    Example:
        >>> from monai_coat.data import MapFormat
        >>> from monai_coat.calibration import PipelineIdentity
        >>> from monai_coat.predictions.calibrate import CRC
        >>> identity = PipelineIdentity({}, MapFormat(None, "classes", "", "8 bit").to_entries())
        >>> words = "E[FNR] <= 0.1 on average over new images"
        >>> result = CalibrationResult((0.25,), 0.1, (99,), (1,), (0.0875,), words, "crc", identity)
        >>> describe_calibration(CalibratedMaps(result, CRC))
        'take probabilities >= 0.25 (8-bit values >= 64): E[FNR] <= 0.1 on average over new images; n = 99, 1 left out'
    """
    result = calibrated.result
    if result.groups:
        groups = (replace(calibrated, result=replace(group, method=result.method)) for group in result.groups.values())
        named = [f"{name}: {_of_classes(group)}" for name, group in zip(result.groups, groups, strict=True)]
    else:
        named = [_of_classes(calibrated)]
    counts = ", ".join(map(str, result.n))
    left_out = ", ".join(map(str, result.n_empty))
    return f"{'; '.join(named)}: {result.guarantee}; n = {counts}, {left_out} left out"


def _of_classes(calibrated: CalibratedMaps) -> str:
    """What is in the set of each class."""
    names, classes = calibrated.format.names, range(len(calibrated.result.cutoff))
    taken = [_taken(calibrated, index) for index in classes]
    return "; ".join(f"{name}: {text}" for name, text in zip(names, taken, strict=True)) if names else "; ".join(taken)


def _taken(calibrated: CalibratedMaps, index: int) -> str:
    """What is in the set of a class."""
    result, values = calibrated.result, calibrated.format.values
    if not result.promised[index]:
        return "no cutoff"
    printed, cutoff = printed_cutoffs(result)[index], result.cutoff[index]
    if result.method != "crc":
        return f"each image has its own threshold, moved by the cutoff {printed} of the scores of {result.method}"
    if values.startswith("distance"):
        return _margin(cutoff, risk_named(result.controls).rises, "pixels" if values.endswith("pixels") else "mm")
    if calibrated.fitted.saturated is not None and not SATURATED < cutoff <= 1 - SATURATED:
        return _by_place(cutoff, risk_named(result.controls).rises)
    if values in WHOLE:
        return f"take probabilities >= {printed} ({values.replace(' ', '-')} values >= {_whole(cutoff, WHOLE[values])})"
    return f"take probabilities >= {printed}"


def _by_place(cutoff: float, is_safe_larger: bool) -> str:
    """A cutoff among pixels of probability 0 or 1 in words; rounded to the side on which the promise is kept."""
    side = "of the longest side, in steps along the axes,"
    if cutoff > 0.5:
        depth = (math.floor if is_safe_larger else math.ceil)((cutoff - 1) * 10000) / 10000
        return f"take what lies {depth:g} {side} or more inside where probabilities are 1"
    margin = (math.ceil if is_safe_larger else math.floor)(max(-cutoff, 0) * 10000) / 10000
    return f"take probabilities above 0, and what lies within {margin:g} {side} of them; of a map of 0 alone everything"


def _margin(cutoff: float, is_safe_larger: bool, unit: str) -> str:
    """A cutoff of distances in words; rounded to the side on which the promise is kept."""
    reach = margin_of(min(max(cutoff, 0.0), 1.0))
    if math.isinf(reach):
        return "take everything" if reach > 0 else "take what lies where all is mask"
    rounded = (math.ceil if is_safe_larger else math.floor)(reach * 1000) / 1000
    if rounded < 0:
        return f"take what lies {-rounded:g} {unit} or more inside the mask, between centres of voxels"
    return f"take what lies within {rounded:g} {unit} of the mask, between centres of voxels"


def _whole(cutoff: float, scale: int) -> int:
    """The smallest whole number that is in the set, by its probability as it is read."""
    near = int(cutoff * scale)
    numbers = torch.arange(near - 1, near + 3, dtype=torch.float64)
    inside = float32_below(numbers / scale) >= cutoff
    return int(numbers[inside][0])


def plain_values(result: CalibrationResult) -> dict[str, Any]:
    """A result as values that JSON has."""
    referral = None if result.referral is None else result.referral.to_json()
    return {**asdict(result), "identity": result.identity.to_json(), "referral": referral}
