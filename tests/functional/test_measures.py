# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Measures of a test set, by hand; their definitions are shared by reports and comparison."""

from __future__ import annotations

import numpy as np
import pytest

from monai_coat.comparison.splits import _measures
from monai_coat.functional import measures_of_test_set, precision_of_counts
from monai_coat.metrics import ImageRecord
from monai_coat.report import summarize


def test_measures_by_hand():
    measures = measures_of_test_set([1.0, 0.5, 0.75], [0.5, 1.0, 0.75], [2.0, 0.5, 1.0], alpha=0.25)
    assert measures == {
        "coverage": 0.75,
        "coverage_gap": pytest.approx((0.25 + 0.25 + 0) / 3),
        "shortfall": pytest.approx(0.25 / 3),
        "share_below": pytest.approx(1 / 3),
        "precision": 0.75,
        "relative_size_median": 1.0,
        "relative_size_mean": pytest.approx(3.5 / 3),
    }


def test_a_coverage_equal_to_the_target_is_not_below_it():
    # 1 - 0.9 is not 0.1 for a computer, and 9 of 10 is the target of alpha 0.1.
    for alpha, coverage in ((0.9, 1 / 10), (0.1, 9 / 10), (0.3, 7 / 10)):
        assert measures_of_test_set([coverage], [1.0], [1.0], alpha)["share_below"] == 0


def test_no_image_is_refused():
    with pytest.raises(ValueError, match="coverage must be of at least one image"):
        measures_of_test_set([], [], [], 0.1)


def test_reports_and_the_comparison_measure_alike():
    rng = np.random.default_rng(0)
    foreground, hits = rng.integers(1, 9, 30), rng.integers(0, 9, 30)
    hits = np.minimum(hits, foreground)
    size = hits + rng.integers(0, 3, 30)
    records = [
        ImageRecord(str(i), h / f, int(s), int(h), int(f), 64, 0.5)
        for i, (h, f, s) in enumerate(zip(hits, foreground, size, strict=True))
    ]
    rows = np.stack([hits / foreground, precision_of_counts(hits, size), size / foreground, size / 64], 1)
    summary, measures = summarize("m", records, 0.1), _measures(rows, 0.1)
    for name in ("coverage_gap", "shortfall", "share_below", "precision", "relative_size_median", "relative_size_mean"):
        assert getattr(summary, name) == pytest.approx(measures[name], abs=1e-6), name
