# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The share of new images that a rule refers, by counting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.validity.promises.pool import LEVELS, PIXELS
from benchmarks.validity.promises.truth import Truth, step_of
from monai_coat.calibration import CalibrationResult

QUANTILES = 16


def share_referred(result: CalibrationResult, truth: Truth, images: Sequence[int], classes: int) -> float:
    """Of some images, those with too large a set or too far from the references of the rule."""
    rule = result.referral
    assert rule is not None
    too_large = np.zeros(len(images), bool)
    for index in range(classes):
        sizes = truth.size[images, index, step_of(result.cutoff[index])] / PIXELS
        too_large |= sizes > rule.sizes[index]
    places = np.linspace(0, PIXELS - 1, QUANTILES).round().astype(int)
    ordered = np.sort((truth.pool.levels[images, :classes] / LEVELS).astype(np.float32), axis=2)[..., places]
    references = np.asarray(rule.references)
    differences = np.abs(ordered[:, None].astype(np.float64) - references).mean(3).max(2).min(1)
    return float((too_large | (differences > rule.distance)).mean())
