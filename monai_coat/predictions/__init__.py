# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Folders of predictions of any framework: fit, calibrate, apply and evaluate, without the network that made them."""

from __future__ import annotations

from monai_coat.predictions.apply import apply_calibration
from monai_coat.predictions.audit import FolderAudit, PromiseAudit, audit_folder, prefix_of
from monai_coat.predictions.audit_report import audit_data, write_audit
from monai_coat.predictions.calibrate import CalibratedMaps, calibrate_folder, load_calibrated_maps, scorer_beside
from monai_coat.predictions.cross import cross_calibrate_folder
from monai_coat.predictions.describe import describe_calibration, plain_values
from monai_coat.predictions.dicom_output import DicomOutput
from monai_coat.predictions.evaluate import evaluate_folder, records_of_folder
from monai_coat.predictions.fit import fit_folder, fit_scorer
from monai_coat.predictions.fitted_scorer import FittedScorer, load_scorer
from monai_coat.predictions.plan import plan_folder, write_plan

__all__ = [
    "CalibratedMaps",
    "DicomOutput",
    "FittedScorer",
    "FolderAudit",
    "PromiseAudit",
    "apply_calibration",
    "audit_data",
    "audit_folder",
    "calibrate_folder",
    "cross_calibrate_folder",
    "describe_calibration",
    "evaluate_folder",
    "fit_folder",
    "fit_scorer",
    "load_calibrated_maps",
    "load_scorer",
    "plain_values",
    "plan_folder",
    "prefix_of",
    "records_of_folder",
    "scorer_beside",
    "write_audit",
    "write_plan",
]
