# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Statistics: what calibration keeps of each image, mergeable in any order."""

from __future__ import annotations

from collections.abc import Mapping

from monai_coat.calibration.statistics.base import Statistic
from monai_coat.calibration.statistics.binned import BinnedStatistic
from monai_coat.calibration.statistics.bracket import Brackets, BracketStatistic
from monai_coat.calibration.statistics.exact import CoverageStatistic
from monai_coat.calibration.statistics.false_positive import FalsePositiveStatistic
from monai_coat.calibration.statistics.gridded import GriddedStatistic
from monai_coat.calibration.statistics.grouped import GroupedStatistic
from monai_coat.calibration.statistics.maps import MapStatistic
from monai_coat.calibration.statistics.raters import RatersStatistic
from monai_coat.calibration.statistics.units import PatientStatistic, WeightedStatistic
from monai_coat.calibration.statistics.worst_class import WorstClassStatistic

__all__ = [
    "STATISTICS",
    "BinnedStatistic",
    "BracketStatistic",
    "Brackets",
    "CoverageStatistic",
    "FalsePositiveStatistic",
    "GriddedStatistic",
    "GroupedStatistic",
    "MapStatistic",
    "PatientStatistic",
    "RatersStatistic",
    "Statistic",
    "WeightedStatistic",
    "WorstClassStatistic",
]

STATISTICS: Mapping[str, type[Statistic]] = {
    statistic.kind: statistic
    for statistic in (BinnedStatistic, CoverageStatistic, WorstClassStatistic, FalsePositiveStatistic)
}
"""Statistics that can be written to a file, by kind."""
