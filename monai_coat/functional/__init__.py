# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Quantities of score maps and labels, as pure functions of tensors ``(B, C, *spatial)``."""

from __future__ import annotations

from monai_coat.functional.coverage import coverage_gap, true_positive_rate
from monai_coat.functional.difficulty import uncertain_share
from monai_coat.functional.foreground import foreground_scores
from monai_coat.functional.levels import allowed_misses, exact_level, images_needed, target_coverage
from monai_coat.functional.set_size import precision, set_fraction, stretch
from monai_coat.functional.sketches import foreground_sketch
from monai_coat.functional.soft_coverage import soft_true_positive_rate
from monai_coat.functional.thresholds import ideal_threshold

__all__ = [
    "allowed_misses",
    "coverage_gap",
    "exact_level",
    "foreground_scores",
    "foreground_sketch",
    "ideal_threshold",
    "images_needed",
    "precision",
    "set_fraction",
    "soft_true_positive_rate",
    "stretch",
    "target_coverage",
    "true_positive_rate",
    "uncertain_share",
]
