# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Guarantees: what is promised about a risk over new images."""

from __future__ import annotations

from collections.abc import Mapping

from monai_coat.calibration.guarantees.base import Guarantee, MeanGuarantee
from monai_coat.calibration.guarantees.expected import ExpectedRisk, as_guarantee, calibrate, calibrate_maps

__all__ = ["GUARANTEES", "ExpectedRisk", "Guarantee", "MeanGuarantee", "as_guarantee", "calibrate", "calibrate_maps"]

GUARANTEES: Mapping[str, type[Guarantee]] = {guarantee.name: guarantee for guarantee in (ExpectedRisk,)}
"""Guarantees by name: a new one is a file and a row here."""
