# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Federated calibration as a job of NVIDIA FLARE, ``pip install "monai_coat[flare]"``."""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("nvflare") is None:
    remedy = 'nvflare must be installed for this package; pip install "monai_coat[flare]".'
    raise ModuleNotFoundError(remedy, name="nvflare")

from monai_coat.fl.flare.controller import CalibrationController
from monai_coat.fl.flare.executor import CalibrationExecutor
from monai_coat.fl.flare.job import calibration_job
from monai_coat.fl.flare.simulation import ALLOWED, simulate

__all__ = ["ALLOWED", "CalibrationController", "CalibrationExecutor", "calibration_job", "simulate"]
