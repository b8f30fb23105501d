# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Inferers: how a calibrated network is run on images, and loaded with its calibration."""

from __future__ import annotations

from monai_coat.inferers.adaptive import AdaptiveInferer
from monai_coat.inferers.loading import attach_calibration, load_calibrated

__all__ = ["AdaptiveInferer", "attach_calibration", "load_calibrated"]
