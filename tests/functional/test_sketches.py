# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Foreground sketches against the integral that defines them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.functional import foreground_sketch, soft_true_positive_rate


def cells(values, points):
    """K times the integral of the quantile function over each cell, in rational numbers."""
    values, size = sorted(Fraction(float(v)) for v in values), len(values)
    means = []
    for k in range(points):
        low, high = Fraction(k * size, points), Fraction((k + 1) * size, points)
        shares = [max(Fraction(0), min(high, i + 1) - max(low, i)) for i in range(size)]
        means.append(sum(s * v for s, v in zip(shares, values, strict=True)) / (high - low))
    return np.array([float(mean) for mean in means])


def test_cells_by_hand():
    # Three scores in two cells: 1.5 pixels each. (0.2 + 0.4 / 2) / 1.5 and (0.4 / 2 + 0.8) / 1.5.
    sketch = foreground_sketch(torch.tensor([[[0.8, 0.2, 0.4, 9.0]]]), torch.tensor([[[1, 1, 1, 0]]]), points=2)
    torch.testing.assert_close(sketch, torch.tensor([[[0.4 / 1.5, 1 / 1.5]]]))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=25), st.integers(1, 12))
def test_cells_are_the_integrals(values, points):
    scores = torch.tensor(values)[None, None]
    sketch = foreground_sketch(scores, torch.ones_like(scores), points)[0, 0].numpy()
    np.testing.assert_allclose(sketch, cells(values, points), atol=1e-6)
    assert (np.diff(sketch) >= -1e-6).all()
    assert sketch.mean() == pytest.approx(np.mean(values), abs=1e-6)


def test_as_many_cells_as_pixels_are_the_sorted_pixels(rng):
    scores = torch.from_numpy(rng.random((2, 2, 30)).astype(np.float32))
    torch.testing.assert_close(foreground_sketch(scores, torch.ones_like(scores), 30), scores.sort(-1).values)


def test_images_without_foreground_are_rows_of_nan():
    labels = torch.tensor([[[1, 1, 0], [0, 0, 0]]])
    sketch = foreground_sketch(torch.rand(1, 2, 3), labels, 4)
    assert torch.isnan(sketch).all(-1).tolist() == [[False, True]]


def test_a_sketch_is_data(rng):
    scores = torch.from_numpy(rng.random((1, 1, 3, 4, 5))).bfloat16().requires_grad_()
    sketch = foreground_sketch(scores, torch.ones_like(scores))
    assert (sketch.shape, sketch.dtype, sketch.requires_grad) == ((1, 1, 512), torch.float32, False)


def test_default_is_typically_within_1e_4_at_a_usual_temperature(rng):
    # Maps as networks make them: mixed, saturated, faint and sure.
    for size, spread, centre in ((150, 2.0, 0.0), (700, 6.0, 2.0), (5000, 4.0, -1.0), (20000, 1.0, 3.0)):
        errors = []
        probs = torch.from_numpy(1 / (1 + np.exp(-rng.normal(centre, spread, (1, 1, size)))))
        sketch = foreground_sketch(probs, torch.ones_like(probs)).double()
        for threshold in np.linspace(0.02, 0.98, 25):
            soft = soft_true_positive_rate(sketch - threshold, None, 0.05)
            full = soft_true_positive_rate(probs - threshold, torch.ones_like(probs), 0.05)
            errors.append(abs(float(soft - full)))
        assert np.mean(errors) < 1e-4
        assert max(errors) < 1 / 512


@pytest.mark.parametrize("points", [0, -1])
def test_points_must_be_positive(points):
    with pytest.raises(ValueError, match=rf"points must be at least 1, got {points}; 512 keeps soft coverage"):
        foreground_sketch(torch.rand(1, 1, 3), torch.ones(1, 1, 3), points)
