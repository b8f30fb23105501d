# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Costs of a coarse file: the short forms of the experiment are the package's own measures."""

from __future__ import annotations

import pytest
import torch

from benchmarks.validity.inputs import LabelledMap
from benchmarks.validity.resolution_cost import Curves, Division, plans_for
from monai_coat.calibration import BinnedStatistic, CoverageStatistic, calibrate
from monai_coat.functional import false_negative_rate, relative_set_size


@pytest.fixture
def images():
    scores = (torch.rand(30, 1, 1, 12, 12) * 16).round() / 16
    return [LabelledMap(score, torch.rand(1, 1, 12, 12) < 0.3) for score in scores]


def test_curves_are_the_measures(images):
    for image in images[:5]:
        curves = Curves.of(image)
        for cutoff in (0.0, 0.25, 0.3, 1.0):
            assert curves.missed(cutoff) == float(false_negative_rate(*image.pair, cutoff))
            size = float(relative_set_size(*image.pair, cutoff)) * int(image.label.sum())
            assert curves.size(cutoff) == max(round(size), 1)


def test_rounding_takes_a_part_of_the_budget_and_the_grid_none(images):
    fine, coarse = (BinnedStatistic(0.0, 1.0, 16, unit, hide_sizes=False) for unit in (2**32, 8))
    exact = CoverageStatistic()
    for statistic in (exact, fine, coarse):
        for image in images:
            statistic.update(*image.pair)
    curves = [Curves.of(image) for image in images]
    division = Division(curves, curves, calibrate(exact, 0.2).cutoff[0])
    missed, growth, lost = division.outcome(calibrate(exact, 0.2))
    assert missed <= 0.2
    assert (growth, lost) == (0.0, pytest.approx(0.0, abs=1e-12))
    assert division.outcome(calibrate(fine, 0.2))[2] == pytest.approx(0.0, abs=1e-6)
    less, larger, taken = division.outcome(calibrate(coarse, 0.2))
    assert less <= missed
    assert larger >= 0
    # Each of 30 images is rounded up by less than an eighth, of a budget of 0.2 * 31 - 1.
    assert 0 <= taken < 30 / 8 / 5.2


def test_plans_need_their_images():
    assert plans_for(138) == [(0.1, 36), (0.1, 0), (0.02, 0)]
    assert plans_for(20) == [(0.1, 0)]
