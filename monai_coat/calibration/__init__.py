# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The guarantee: torch, NumPy and JSON only, to be read and audited alone."""

from __future__ import annotations

from monai_coat.calibration.aa_crc import exact_thresholds, fit_linear_thresholds, linear_threshold_risk
from monai_coat.calibration.artifact import check_calibration_fits, load_calibration, save_calibration
from monai_coat.calibration.control import calibrate, calibrate_maps
from monai_coat.calibration.distributed import gather_objects, gather_statistic
from monai_coat.calibration.fingerprint import fingerprint
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.statistics import CoverageStatistic

__all__ = [
    "CalibrationResult",
    "CoverageStatistic",
    "calibrate",
    "calibrate_maps",
    "check_calibration_fits",
    "exact_thresholds",
    "fingerprint",
    "fit_linear_thresholds",
    "gather_objects",
    "gather_statistic",
    "linear_threshold_risk",
    "load_calibration",
    "save_calibration",
]
