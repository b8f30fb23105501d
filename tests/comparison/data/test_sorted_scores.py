# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sorted scores against a comparison pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_coat.calibration import calibrate_maps
from monai_coat.comparison.data.sorted_scores import SortedScores
from monai_coat.scorers import PredictedMaps


@pytest.fixture
def maps(rng):
    probs = torch.from_numpy(rng.integers(0, 9, (12, 1, 6, 5)).astype(np.float32)) / 8
    labels = torch.from_numpy(rng.random(probs.shape) < 0.4)
    image = torch.zeros(12, 3, 6, 5, dtype=torch.uint8)
    return PredictedMaps(tuple("abcdefghijkl"), image, labels, probs)


@pytest.mark.parametrize("cutoff", [-1.0, 0.0, 0.375, 0.4, 1.0, 2.0])
def test_measures_are_counts_of_pixels_at_or_above_the_cutoff(maps, cutoff):
    rows = SortedScores.of(maps.probs, maps.label).measure(range(12), [cutoff] * 12)
    for row, probs, label in zip(rows, maps.probs, maps.label, strict=True):
        inside = probs >= cutoff
        hit, size, total = int((inside & label).sum()), int(inside.sum()), int(label.sum())
        expected = [hit / total, hit / size if size else 1.0, size / total, size / 30]
        np.testing.assert_allclose(row, expected)


def test_the_cutoff_is_the_package_s_own(maps):
    chosen = [0, 2, 3, 5, 8, 9, 11]
    expected = calibrate_maps([maps.probs[i] for i in chosen], [maps.label[i] for i in chosen], 0.3)
    assert SortedScores.of(maps.probs, maps.label).cutoff(chosen, 0.3) == expected.cutoff[0]


def test_other_scores_can_be_cut_too(maps):
    scores = SortedScores.of(-maps.probs, maps.label)
    assert scores.measure([0], [-0.5])[0, 3] == float((maps.probs[0] <= 0.5).double().mean())
