# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import math

import pytest
import torch

from monai_coat.functional import true_positive_rate
from monai_coat.metrics import CoverageMetric


def test_numbers_by_hand(images):
    metric = CoverageMetric()
    values = metric(*images).flatten().tolist()
    assert values[:2] == [2 / 3, 1.0]
    assert math.isnan(values[2])
    assert metric.aggregate().item() == pytest.approx(5 / 6)


@pytest.mark.parametrize(("cutoff", "coverage"), [(0.3, 1.0), (0.30001, 5 / 6), (0.85, 5 / 12), (1, 0.0)])
def test_larger_cutoffs_cover_less(images, cutoff, coverage):
    metric = CoverageMetric(cutoff)
    metric(*images)
    assert metric.aggregate().item() == pytest.approx(coverage)


def test_one_cutoff_per_class(images):
    scores, labels = (torch.cat([x, x], 1) for x in images)
    metric = CoverageMetric([0.5, 0.85], reduction="mean_batch")
    assert torch.equal(
        metric(scores, labels).nan_to_num(-1),
        true_positive_rate(scores, labels, torch.tensor([0.5, 0.85])).nan_to_num(-1),
    )
    assert metric.aggregate().tolist() == pytest.approx([5 / 6, 5 / 12])


def test_margins_are_cut_where_they_are_told(images):
    scores, labels = images
    metric = CoverageMetric(cutoff=0.0)
    metric(scores - 0.5, labels)
    assert metric.aggregate().item() == pytest.approx(5 / 6)
