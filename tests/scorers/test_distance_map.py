# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Distances to a mask's boundary, against all pairs of voxels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_coat.scorers.distance_map import DISTANCE_SCALE, distance_map, margin_of


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 2.5), (0.5, 1.0, 3.0)])
def test_distances_are_those_of_the_nearest_voxel_of_the_other_kind(spacing):
    rng = np.random.default_rng(0)
    mask = rng.random((9, 8, 5)[: len(spacing)]) < 0.3
    found = torch.logit(distance_map(torch.from_numpy(mask)[None], spacing)[0].double()).numpy() * DISTANCE_SCALE
    places = np.argwhere(np.ones_like(mask)) * spacing
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    inside = mask.ravel()
    expected = np.where(inside, apart[:, ~inside].min(1), -apart[:, inside].min(1))
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-4)


def test_a_set_is_the_mask_and_a_margin():
    mask = torch.zeros(1, 21, 21)
    mask[0, 10, 10] = 1
    maps = distance_map(mask, (1.0, 1.0))
    for radius in (1.5, 4.0, 7.3):
        cutoff = float(torch.sigmoid(torch.tensor(-radius / DISTANCE_SCALE, dtype=torch.float64)))
        rows, columns = torch.meshgrid(torch.arange(21) - 10, torch.arange(21) - 10, indexing="ij")
        assert margin_of(cutoff) == pytest.approx(radius)
        assert torch.equal(maps[0] >= cutoff - 1e-7, (rows**2 + columns**2).sqrt() <= radius)


def test_nothing_and_everything_have_no_boundary():
    assert distance_map(torch.zeros(1, 4, 4), (1, 1)).unique().tolist() == [0]
    assert distance_map(torch.ones(1, 4, 4), (1, 1)).unique().tolist() == [1]
