# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scores weighted by the distance to the predicted boundary."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_coat.scorers import BoundaryDistanceScorer


def by_definition(probs, kappa):
    """Distances by comparing all pixels with all others."""
    inside, place = probs >= 0.5, np.stack(np.indices(probs.shape), -1).reshape(-1, probs.ndim)
    flat = inside.reshape(-1)
    distance = np.array([np.sqrt(((place[flat != flat[i]] - place[i]) ** 2).sum(1)).min() for i in range(flat.size)])
    parts = []
    for values in (distance, -np.log(probs.reshape(-1) + 1e-5)):
        top = np.quantile(values, 0.95)
        parts.append(np.clip(values, 0, top) / top)
    weight = 1 / (1 + np.exp(-10 * kappa * parts[0] * parts[1]))
    return (1 - weight * (1 - probs.reshape(-1))).reshape(probs.shape)


@pytest.mark.parametrize("size", [(9, 8), (5, 6, 4)])
def test_scores_are_their_definition(size, rng):
    probs = rng.random((2, 2, *size)).astype(np.float32)
    found = BoundaryDistanceScorer(1.2)(torch.zeros(2, 1, *size), torch.from_numpy(probs))
    expected = np.stack([[by_definition(each, 1.2) for each in image] for image in probs])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("level", [0.2, 0.8])
def test_without_a_boundary_scores_are_probabilities(level):
    probs = torch.full((1, 1, 6, 6), level)
    assert torch.equal(BoundaryDistanceScorer()(probs, probs), probs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_scores_are_float32_with_a_boundary_and_without(dtype):
    probs = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert BoundaryDistanceScorer()(probs, probs).dtype == torch.float32
    assert BoundaryDistanceScorer()(probs, probs / 2.1).dtype == torch.float32


def test_scores_are_at_least_the_probabilities_and_keep_the_promise(blobs, promise):
    image, probs, labels = blobs
    scores = BoundaryDistanceScorer()(image, probs)
    assert (scores >= probs - 1e-6).all()
    assert promise(scores[:30], labels[:30]) <= 0.2 + 1e-12


def test_kappa_must_be_positive():
    with pytest.raises(ValueError, match="kappa must be positive, got 0"):
        BoundaryDistanceScorer(0)
    with pytest.raises(ValueError, match="kappa must be positive, got nan"):
        BoundaryDistanceScorer(float("nan"))
