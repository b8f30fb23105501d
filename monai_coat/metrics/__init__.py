# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Metrics of prediction sets, in MONAI's cumulative form: per-image values are kept until they are reduced."""

from __future__ import annotations

from monai_coat.metrics.coverage import CoverageMetric
from monai_coat.metrics.coverage_gap import CoverageGapMetric
from monai_coat.metrics.image_record import ImageRecord, image_records
from monai_coat.metrics.set_size import SetSizeMetric, SetSizeQuantity

__all__ = [
    "CoverageGapMetric",
    "CoverageMetric",
    "ImageRecord",
    "SetSizeMetric",
    "SetSizeQuantity",
    "image_records",
]
