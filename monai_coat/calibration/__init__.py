# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The guarantee: torch, NumPy and JSON only, to be read and audited alone."""

from __future__ import annotations

from monai_coat.calibration.aa_crc import exact_thresholds, fit_linear_thresholds, linear_threshold_risk
from monai_coat.calibration.artifact import check_calibration_fits, load_calibration, save_calibration
from monai_coat.calibration.binned import BinnedStatistic, calibrate_binned
from monai_coat.calibration.bracket import BracketStatistic, calibrate_bracket
from monai_coat.calibration.control import calibrate, calibrate_maps
from monai_coat.calibration.distributed import gather_objects, gather_statistic
from monai_coat.calibration.drift import DriftWatch
from monai_coat.calibration.fingerprint import fingerprint
from monai_coat.calibration.result import CalibrationResult, ConformalRisk
from monai_coat.calibration.risks import (
    FalseAlarmStatistic,
    calibrate_false_alarm,
    calibrate_risk,
    statistic_of_risk,
)
from monai_coat.calibration.statistic_file import Shard, load_statistic, merge_statistics, save_statistic
from monai_coat.calibration.statistics import CoverageStatistic
from monai_coat.calibration.worst_class import calibrate_worst_class

__all__ = [
    "BinnedStatistic",
    "BracketStatistic",
    "CalibrationResult",
    "ConformalRisk",
    "CoverageStatistic",
    "DriftWatch",
    "FalseAlarmStatistic",
    "Shard",
    "calibrate",
    "calibrate_binned",
    "calibrate_bracket",
    "calibrate_false_alarm",
    "calibrate_maps",
    "calibrate_risk",
    "calibrate_worst_class",
    "check_calibration_fits",
    "exact_thresholds",
    "fingerprint",
    "fit_linear_thresholds",
    "gather_objects",
    "gather_statistic",
    "linear_threshold_risk",
    "load_calibration",
    "load_statistic",
    "merge_statistics",
    "save_calibration",
    "save_statistic",
    "statistic_of_risk",
]
