# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Risks: what one image loses at a cutoff, in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from monai_coat.calibration.risks.base import Risk
from monai_coat.calibration.risks.exceeds import Exceeds
from monai_coat.calibration.risks.false_alarm import FalseAlarm, MarkedShare
from monai_coat.calibration.risks.false_discovery import FalseDiscoveryRate
from monai_coat.calibration.risks.false_negative import FalseNegativeRate
from monai_coat.calibration.risks.false_positive import FalsePositiveRatio
from monai_coat.calibration.risks.lesions_missed import LesionsMissed
from monai_coat.calibration.risks.volume import VolumeOverestimated, VolumeUnderestimated
from monai_coat.calibration.risks.worst_class import WorstClassFalseNegativeRate

__all__ = [
    "RISKS",
    "Exceeds",
    "FalseAlarm",
    "FalseDiscoveryRate",
    "FalseNegativeRate",
    "FalsePositiveRatio",
    "LesionsMissed",
    "MarkedShare",
    "Risk",
    "VolumeOverestimated",
    "VolumeUnderestimated",
    "WorstClassFalseNegativeRate",
    "risk_named",
]

RISKS: Mapping[str, Callable[[], Risk]] = {
    risk.name: risk for risk in (FalseNegativeRate, WorstClassFalseNegativeRate, FalsePositiveRatio)
}
"""Risks by name: a new one is a file and a row here."""


def risk_named(controls: str) -> Risk:
    """The risk that a result, a file of sums or a drift reference names, with its usual settings.

    Args:
        controls: a key of ``RISKS``, with or without parameters in brackets.

    Raises:
        ValueError: for a name that is no risk of this version.

    Example:
        >>> risk_named("false_negative_rate").words
        'FNR'
    """
    name = controls.partition("(")[0]
    if name not in RISKS:
        raise ValueError(f"controls must be one of {', '.join(RISKS)}, got {controls!r}; is it of a newer version?")
    return RISKS[name]()
