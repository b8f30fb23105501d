# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The statistic of false positives: the smallest cutoff, also of scores that float32 cannot hold."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import (
    CoverageStatistic,
    ExpectedRisk,
    FalsePositiveRatio,
    FalsePositiveStatistic,
    calibrate,
)
from tests.calibration.images import false_positive_ratio, filled, images

float32s = st.floats(width=32, min_value=-(2.0**100), max_value=2.0**100)


def calibrated(statistic, alpha):
    return calibrate(statistic, guarantee=ExpectedRisk(FalsePositiveRatio(), alpha))


@given(images(8, 14), st.sampled_from([0.25, 0.5]))
def test_no_lower_cutoff_keeps_the_bound(maps, alpha):
    maps = [image for image in maps if false_positive_ratio(image[0], 0.0) is not None]
    budget = Fraction(str(alpha)) * (len(maps) + 1) - 1
    if budget < 0:
        return
    cutoff = calibrated(filled(FalsePositiveStatistic(), maps), alpha).cutoff[0]
    assert sum(false_positive_ratio(image[0], cutoff) for image in maps) <= budget
    background = [score for image in maps for score, inside in image[0] if not inside and score < cutoff]
    if background and sum(false_positive_ratio(image[0], max(background)) for image in maps) <= budget:
        pytest.fail(f"{max(background)} would do as well as {cutoff}")


@settings(max_examples=50)
@given(images(8, 10), images(1, 5), st.sampled_from([0.3, 0.5]))
def test_merged_and_reloaded_it_is_the_same(first, second, alpha):
    merged, other = filled(FalsePositiveStatistic(), first), FalsePositiveStatistic()
    other.load_state_dict(filled(FalsePositiveStatistic(), second).state_dict())
    merged.merge(other)
    whole = filled(FalsePositiveStatistic(), first + second)
    assert (merged.n, merged.n_empty) == (whole.n, whole.n_empty)
    if whole.n[0] >= 9:
        assert calibrated(merged, alpha) == calibrated(whole, alpha)


@given(float32s, st.sampled_from([-0.6, -0.4, 0.0, 0.4, 0.6]))
def test_of_double_precision_the_cutoff_is_the_smallest_float32_that_no_background_passes(score, part):
    # One background pixel between two float32 numbers. Nine images at alpha 0.1 have a budget of 0: the cutoff must
    # exclude it. Rounded up, or to the nearest, it would ask for a cutoff that is one number higher.
    background = score + part * float(np.spacing(np.float32(score)))
    scores = torch.tensor([[[1e38, background]]], dtype=torch.float64).expand(9, 1, 2)
    statistic = FalsePositiveStatistic()
    statistic.update(scores, torch.tensor([[[1, 0]]]).expand(9, 1, 2))
    (cutoff,) = calibrated(statistic, 0.1).cutoff
    assert float(np.nextafter(np.float32(cutoff), np.float32(-np.inf))) <= background < cutoff


def test_images_without_foreground_or_background_are_left_out():
    statistic = FalsePositiveStatistic()
    statistic.update(torch.rand(3, 1, 2), torch.tensor([[[1, 0]], [[0, 0]], [[1, 1]]]))
    assert (statistic.n, statistic.n_empty) == ((1,), (2,))


def test_other_kinds_and_numbers_of_classes_are_refused():
    statistic = filled(FalsePositiveStatistic(), [[[(0.25, True), (0.5, False)]]])
    with pytest.raises(TypeError, match="other must be a FalsePositiveStatistic, got CoverageStatistic"):
        statistic.merge(CoverageStatistic())
    with pytest.raises(ValueError, match="must have the 1 classes of the batches before, got 2"):
        statistic.merge(filled(FalsePositiveStatistic(), [[[(0.25, True), (0.5, False)]] * 2]))
    assert statistic.n == (1,)
