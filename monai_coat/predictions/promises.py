# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The promises that a calibration makes, one by one: of each class, of each group, of each risk.

Tested by tests/predictions/test_audit.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from monai_coat.calibration import CalibrationResult, LearnThenTest, PerGroup, PerPatient, Risk, Weighted, risk_named
from monai_coat.predictions.calibrate import CalibratedMaps

__all__ = ["SinglePromise", "single_promises"]


@dataclass(frozen=True)
class SinglePromise:
    """A promise about one mean risk.

    Attributes:
        risk: what one image loses.
        alpha: tolerated mean of it.
        n: calibration images behind it.
        index: of the class.
        name: of the class; empty if there is one.
        group: of images that it is about; None for all.
        delta: share of calibrations that need not keep it; None if it is kept on average over calibrations.
        unit: entry of the metadata over which risks are averaged first, such as the patient; empty for none.
    """

    risk: Risk
    alpha: float
    n: int
    index: int
    name: str = ""
    group: str | None = None
    delta: float | None = None
    unit: str = ""

    @property
    def words(self) -> str:
        """The promise as a formula, with class and group."""
        about = [self.name, "" if self.group is None else f"group {self.group}", self.unit and f"mean of a {self.unit}"]
        named = ", ".join(part for part in about if part)
        return f"{self.risk.expected_words} <= {self.alpha}" + (f" ({named})" if named else "")


def single_promises(calibrated: CalibratedMaps) -> list[SinglePromise]:
    """Every promise of a calibration; classes and groups about which nothing is promised are left out.

    Raises:
        ValueError: if the promise is about images that have other weights than those that are there.
    """
    result = calibrated.result
    if result.kind == Weighted.name:
        raise ValueError(
            "calibration must be about images as they are drawn to be audited, got one that is weighted: audit the one "
            "without weights, on images of the population that it was weighted for."
        )
    by_group = result.groups if result.kind == PerGroup.name else {None: result}
    return [promise for group, of_group in by_group.items() for promise in _of_group(of_group, group, calibrated)]


def _of_group(result: CalibrationResult, group: str | None, calibrated: CalibratedMaps) -> Iterator[SinglePromise]:
    names = calibrated.format.names
    settings = result.settings
    delta = float(settings["delta"]) if "delta" in settings else None
    unit = str(settings["key"]) if result.kind == PerPatient.name else ""
    levels = {result.controls: float(result.alpha)}
    levels.update(settings.get("also", {}) if result.kind == LearnThenTest.name else {})
    for index, is_promised in enumerate(result.promised):
        if not is_promised:
            continue
        for key, alpha in levels.items():
            risk, n = risk_named(key), result.n[index]
            if risk.joint and index != result.promised.index(True):
                continue  # the promise of one class is that of all
            name = names[index] if len(names) > 1 and not risk.joint else ""
            yield SinglePromise(risk, float(alpha), n, index, name, group, delta, unit)
