# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Applications: a bundle with its calibrations, ready to answer for one image at a time."""

from __future__ import annotations

from monai_coat.apps.retraining import retrain, split_for_recalibration
from monai_coat.apps.serving import CalibratedBundle, Prediction

__all__ = ["CalibratedBundle", "Prediction", "retrain", "split_for_recalibration"]
