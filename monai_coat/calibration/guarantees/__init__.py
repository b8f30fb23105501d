# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Guarantees: what is promised about a risk over new images."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from monai_coat.calibration.guarantees.base import Guarantee, MeanGuarantee
from monai_coat.calibration.guarantees.confident import ConfidentRisk
from monai_coat.calibration.guarantees.cross import CrossRisk
from monai_coat.calibration.guarantees.expected import ExpectedRisk, as_guarantee, calibrate, calibrate_maps
from monai_coat.calibration.guarantees.growing import GrowingSet
from monai_coat.calibration.guarantees.learn_then_test import LearnThenTest
from monai_coat.calibration.guarantees.per_group import PerGroup
from monai_coat.calibration.guarantees.per_patient import PerPatient
from monai_coat.calibration.guarantees.referring import Referring
from monai_coat.calibration.guarantees.weighted import Weighted
from monai_coat.calibration.reach import OUT_OF_REACH
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.risks import risk_named
from monai_coat.calibration.risks.base import Risk

__all__ = [
    "GUARANTEES",
    "ConfidentRisk",
    "CrossRisk",
    "ExpectedRisk",
    "GrowingSet",
    "Guarantee",
    "LearnThenTest",
    "MeanGuarantee",
    "PerGroup",
    "PerPatient",
    "Referring",
    "Weighted",
    "as_guarantee",
    "calibrate",
    "calibrate_maps",
    "guarantee_named",
    "promise_in_words",
]

GUARANTEES: Mapping[str, type[Guarantee]] = {
    guarantee.name: guarantee
    for guarantee in (ExpectedRisk, ConfidentRisk, GrowingSet, LearnThenTest, CrossRisk, PerGroup, PerPatient, Weighted)
}
"""Guarantees by name: a new one is a file and a row here."""


def guarantee_named(kind: str, risk: Risk, alpha: float, settings: Mapping[str, Any] | None = None) -> Guarantee:
    """The guarantee that an artifact, a command or a config speaks of.

    Args:
        kind: a name of ``GUARANTEES``.
        risk: what one image loses.
        alpha: the tolerated level.
        settings: what else it is made with, as :attr:`Guarantee.settings`. ``guarantee`` is the name of one that it is
            made around, which takes the settings that are not its own.

    Raises:
        TypeError: if a setting is of another type, or the guarantee is not for this risk.
        ValueError: if the name is none, or a setting is missing, none of it or impossible.

    Example:
        >>> from monai_coat.calibration import FalseNegativeRate
        >>> guarantee_named("confident_risk", FalseNegativeRate(), 0.1, {"delta": 0.05}).promise
        'P(E[FNR] <= 0.1) >= 0.95'
    """
    if kind not in GUARANTEES:
        raise ValueError(f"guarantee must be one of {', '.join(GUARANTEES)}, got {kind!r}; is it of a newer version?")
    row, rest = GUARANTEES[kind], dict(settings or {})
    arguments: tuple[Any, ...] = risk, alpha
    if row in (PerGroup, PerPatient, Weighted):
        own: dict[str, Any] = {name: rest.pop(name) for name in ("key", "largest") if name in rest}
        arguments, rest = (guarantee_named(rest.pop("guarantee", ExpectedRisk.name), risk, alpha, rest),), own
    try:
        inspect.signature(row).bind(*arguments, **rest)
    except TypeError as error:
        raise ValueError(
            f"guarantee must have the settings of {kind!r}, got {dict(settings or {})} ({error})."
        ) from None
    return row(*arguments, **rest)


def promise_in_words(result: CalibrationResult) -> str:
    """The promise of a calibration as a sentence: of whom it is, and what it is not.

    Example:
        >>> promise_in_words(CalibrationResult((0.25,), 0.1, (99,), (1,), (0.0875,), "E[FNR] <= 0.1")).split(". ")[0]
        'Over new images with foreground, the share of the foreground that is missed is at most 0.1 on average'
    """
    guarantee = guarantee_named(result.kind, risk_named(result.controls), result.alpha, result.settings)
    words = guarantee.in_words(result)
    few = [index for index, kept in enumerate(result.promised) if not kept]
    if few:
        words += f" Nothing is promised about class {', '.join(map(str, few))}, of which there were too few images."
    for text in result.guarantee.split("; "):
        words += f" {text[0].upper()}{text[1:]}." if OUT_OF_REACH in text else ""
    if result.referral is not None:
        words += f" Of new images, {result.referral.words}."
    return words
