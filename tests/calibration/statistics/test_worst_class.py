# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The worst class's statistic: the largest common cutoff, the same in any order, images kept together."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import (
    CoverageStatistic,
    ExpectedRisk,
    WorstClassFalseNegativeRate,
    WorstClassStatistic,
    calibrate,
)
from tests.calibration.images import filled, images, worst_miss_rate

MAPS = images(12, 16, classes=2, pixels=4)


def calibrated(statistic, alpha):
    return calibrate(statistic, guarantee=ExpectedRisk(WorstClassFalseNegativeRate(), alpha))


def by_trying_all(maps, alpha):
    """The largest score that keeps the bound, or None if none does."""
    present = [image for image in maps if worst_miss_rate(image, 0.0) is not None]
    budget = Fraction(str(alpha)) * (len(present) + 1) - 1
    scores = sorted({score for image in present for pixels in image for score, inside in pixels if inside})
    return max((c for c in scores if sum(worst_miss_rate(image, c) for image in present) <= budget), default=None)


@given(MAPS, st.sampled_from([0.1, 0.125, 0.25, 0.3]))
def test_the_cutoff_is_the_largest_that_keeps_the_bound(maps, alpha):
    expected = by_trying_all(maps, alpha)
    n = sum(worst_miss_rate(image, 0.0) is not None for image in maps)
    if Fraction(str(alpha)) * (n + 1) < 1:
        with pytest.raises(ValueError, match="needs at least"):
            calibrated(filled(WorstClassStatistic(), maps), alpha)
        return
    result = calibrated(filled(WorstClassStatistic(), maps), alpha)
    assert result.cutoff == (expected, expected)
    assert result.n == (n, n)
    assert result.n_empty == (len(maps) - n,) * 2


@settings(max_examples=25)
@given(MAPS, MAPS)
def test_merged_it_is_the_same_in_any_order(first, second):
    one, turned = filled(WorstClassStatistic(), first), filled(WorstClassStatistic(), second)
    one.merge(filled(WorstClassStatistic(), second))
    turned.merge(filled(WorstClassStatistic(), first))
    try:
        expected = calibrated(filled(WorstClassStatistic(), first + second), 0.25)
    except ValueError:
        return
    assert calibrated(one, 0.25) == expected == calibrated(turned, 0.25)


def test_merging_keeps_the_classes_of_an_image_together():
    # The first part has class 0 alone and an image without any, the second both classes in one image and class 1 alone.
    # Three images count. At alpha 0.5 the budget is 0.5 * 4 - 1 = 1. Cutoff 0.2: none missed. At 0.3 image 0 is missed:
    # 1. At 0.6 image 1 too, by its first class: 2. Were its classes two images, cutoff 0.6 would miss 1 + 1 of five.
    parts = (
        [[[(0.2, True)], [(0.9, False)]], [[(0.7, False)], [(0.8, False)]]],
        [
            [[(0.3, True)], [(0.6, True)]],
            [[(0.1, False)], [(0.9, True)]],
        ],
    )
    for first, second in (parts, parts[::-1]):
        statistic = filled(WorstClassStatistic(), first)
        statistic.merge(filled(WorstClassStatistic(), second))
        assert (statistic.n, statistic.n_empty) == ((3, 3), (1, 1))
        assert calibrated(statistic, 0.5).cutoff == (float(torch.tensor(0.3)),) * 2


def test_its_state_travels():
    maps = [[[(0.25, True)], [(0.5, False)]], [[(0.75, False)], [(0.5, True)]]]
    statistic, other = filled(WorstClassStatistic(), maps), WorstClassStatistic()
    other.load_state_dict(statistic.state_dict())
    assert calibrated(other, 0.5) == calibrated(statistic, 0.5)


def test_an_empty_statistic_is_refused():
    with pytest.raises(ValueError, match="statistic must hold at least one image, got none"):
        calibrated(WorstClassStatistic(), 0.1)
    with pytest.raises(ValueError, match="needs at least 9 calibration images with foreground, got 0"):
        calibrated(filled(WorstClassStatistic(), [[[(0.5, False)], [(0.5, False)]]]), 0.1)


def test_other_kinds_and_numbers_of_classes_are_refused():
    statistic = filled(WorstClassStatistic(), [[[(0.25, True)], [(0.5, True)]]])
    with pytest.raises(TypeError, match="other must be a WorstClassStatistic, got CoverageStatistic"):
        statistic.merge(CoverageStatistic())
    with pytest.raises(ValueError, match="must have the 2 classes of the batches before, got 1"):
        statistic.merge(filled(WorstClassStatistic(), [[[(0.25, True)]]]))
    assert statistic.n == (1, 1)
