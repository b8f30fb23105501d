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
from monai_coat.calibration.risks.ignoring import Ignoring
from monai_coat.calibration.risks.lesions_missed import LesionsMissed
from monai_coat.calibration.risks.mean_over_raters import MeanOverRaters, rater_risks
from monai_coat.calibration.risks.volume import VolumeOverestimated, VolumeUnderestimated
from monai_coat.calibration.risks.worst_class import WorstClassFalseNegativeRate

__all__ = [
    "RISKS",
    "Exceeds",
    "FalseAlarm",
    "FalseDiscoveryRate",
    "FalseNegativeRate",
    "FalsePositiveRatio",
    "Ignoring",
    "LesionsMissed",
    "MarkedShare",
    "MeanOverRaters",
    "Risk",
    "VolumeOverestimated",
    "VolumeUnderestimated",
    "WorstClassFalseNegativeRate",
    "rater_risks",
    "risk_named",
]

RISKS: Mapping[str, Callable[..., Risk]] = {
    risk.name: risk
    for risk in (
        FalseNegativeRate,
        WorstClassFalseNegativeRate,
        FalsePositiveRatio,
        Exceeds,
        LesionsMissed,
        FalseAlarm,
        MarkedShare,
        VolumeUnderestimated,
        VolumeOverestimated,
        FalseDiscoveryRate,
        MeanOverRaters,
        Ignoring,
    )
}
"""Risks by name: a new one is a file and a row here."""


def risk_named(controls: str) -> Risk:
    """The risk that a result, a file of sums, a command or a drift reference names.

    Args:
        controls: :attr:`Risk.key`: a name of ``RISKS``, with its settings in brackets if it has any.

    Raises:
        ValueError: for a name that is no risk of this version, or settings that it does not have.

    Example:
        >>> risk_named("false_negative_rate").words
        'FNR'
    """
    name, bracket, rest = controls.strip().partition("(")
    if name not in RISKS:
        raise ValueError(f"controls must be one of {', '.join(RISKS)}, got {controls!r}; is it of a newer version?")
    if bracket and not rest.endswith(")"):
        raise ValueError(f"controls must close its bracket, got {controls!r}; write it as {name}(...).")
    try:
        return RISKS[name](*(_setting(text) for text in _split(rest[:-1])))
    except TypeError as error:
        raise ValueError(f"controls must have the settings of {name!r}, got {controls!r} ({error}).") from None


def _setting(text: str) -> Risk | float:
    """A number, or a risk in a risk."""
    try:
        return int(text) if text.strip().isdigit() else float(text)
    except ValueError:
        return risk_named(text)


def _split(text: str) -> list[str]:
    """Parts between the commas that stand in no bracket."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts if text.strip() else []
