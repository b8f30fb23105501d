# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Federated calibration: sites send counts, a server sends one calibration back. MONAI only; ``flare`` runs it."""

from __future__ import annotations

from monai_coat.fl.calibration_stats import CalibrationStats
from monai_coat.fl.segmenter_weights import SegmenterWeights
from monai_coat.fl.server import calibrate_sites

__all__ = ["CalibrationStats", "SegmenterWeights", "calibrate_sites"]
