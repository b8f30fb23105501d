# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Losses that train a threshold predictor; all take ``(scores, labels)``, as MONAI's trainers give them."""

from __future__ import annotations

from monai_coat.losses.soft_tpr import SoftTPRLoss
from monai_coat.losses.threshold_pinball import ThresholdPinballLoss
from monai_coat.losses.threshold_regression import ThresholdRegressionLoss

__all__ = ["SoftTPRLoss", "ThresholdPinballLoss", "ThresholdRegressionLoss"]
