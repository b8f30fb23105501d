# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import math

import pytest
import torch

from monai_coat.functional import coverage_gap, true_positive_rate
from monai_coat.metrics import CoverageGapMetric


def test_numbers_by_hand(images):
    metric = CoverageGapMetric(alpha=0.1)
    values = metric(*images).flatten().tolist()
    assert values[:2] == pytest.approx([0.9 - 2 / 3, 0.1])
    assert math.isnan(values[2])
    assert metric.aggregate().item() == pytest.approx(1 / 6)


def test_it_is_the_function_of_the_coverage(images):
    found = CoverageGapMetric(alpha=0.3, cutoff=0.4)(*images)
    assert torch.equal(found.nan_to_num(-1), coverage_gap(true_positive_rate(*images, 0.4), 0.3).nan_to_num(-1))


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.3])
def test_taking_everything_has_a_gap_of_alpha(alpha):
    metric = CoverageGapMetric(alpha, cutoff=0.0)
    metric(torch.rand(5, 1, 8, 8), torch.ones(5, 1, 8, 8))
    assert metric.aggregate().item() == pytest.approx(alpha)


@pytest.mark.parametrize("alpha", [0, 1, 1.5, -0.1])
def test_impossible_levels_are_refused(alpha):
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\), got"):
        CoverageGapMetric(alpha)
