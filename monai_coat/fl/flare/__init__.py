# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Federated calibration as a job of NVIDIA FLARE, ``pip install "monai_coat[flare]"``."""

from __future__ import annotations

from monai_coat.fl.flare.controller import CalibrationController
from monai_coat.fl.flare.executor import CalibrationExecutor
from monai_coat.fl.flare.job import calibration_job
from monai_coat.fl.flare.simulation import ALLOWED, simulate

__all__ = ["ALLOWED", "CalibrationController", "CalibrationExecutor", "calibration_job", "simulate"]
