# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Ignite handlers: they listen and forward; what they compute is below them."""

from __future__ import annotations

from monai_coat.handlers.checkpoints import ResumeCheckpoint
from monai_coat.handlers.collect_statistic import CollectStatistic
from monai_coat.handlers.conformal_calibration import ConformalCalibration
from monai_coat.handlers.coverage import Coverage
from monai_coat.handlers.coverage_gap import CoverageGap
from monai_coat.handlers.image_records import ImageRecords, PackedMasks
from monai_coat.handlers.loss_history import LossHistory, load_losses
from monai_coat.handlers.progress_log import ProgressLog
from monai_coat.handlers.set_size import SetSize

__all__ = [
    "CollectStatistic",
    "ConformalCalibration",
    "Coverage",
    "CoverageGap",
    "ImageRecords",
    "LossHistory",
    "PackedMasks",
    "ProgressLog",
    "ResumeCheckpoint",
    "SetSize",
    "load_losses",
]
