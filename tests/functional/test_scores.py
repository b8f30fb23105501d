# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scores made of a probability map alone, against their definitions pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.functional import expected_coverage_scores, logit_scores


def by_definition(probs):
    """One minus the mass of strictly larger probabilities over all mass, in float64 and in quadratic time."""
    flat = probs.reshape(-1).astype(np.float64)
    return np.array([1 - flat[flat > p].sum() / flat.sum() if flat.any() else 1.0 for p in flat]).reshape(probs.shape)


@given(st.integers(0, 2**31), st.sampled_from([3, 1000]), st.sampled_from([(7,), (5, 4), (3, 2, 4)]))
def test_expected_coverage_is_its_definition(seed, levels, size):
    probs = np.random.default_rng(seed).integers(0, levels, (2, 3, *size)).astype(np.float32) / levels
    found = expected_coverage_scores(torch.from_numpy(probs))
    expected = np.stack([[by_definition(each) for each in image] for image in probs])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@given(st.integers(0, 2**31))
def test_order_and_ties_are_kept(seed):
    probs = torch.from_numpy(np.random.default_rng(seed).integers(0, 6, (1, 1, 40)).astype(np.float32) / 5)
    p = probs.flatten()
    for scores in (expected_coverage_scores(probs).flatten(), logit_scores(probs).flatten()):
        assert torch.equal(p[:, None] > p, scores[:, None] > scores) or bool((p == 0).all())
        assert torch.equal(p[:, None] == p, scores[:, None] == scores)


@given(st.integers(0, 2**31), st.sampled_from([3, 1000]))
def test_the_mean_score_by_mass_is_a_half_and_half_the_mass_of_ties(seed, levels):
    # Of two pixels drawn by mass the second is no larger than the first with chance (1 + chance of a tie) / 2.
    p = np.random.default_rng(seed).integers(1, levels, 30) / levels
    mass = p / p.sum()
    scores = expected_coverage_scores(torch.from_numpy(p).reshape(1, 1, -1)).double().numpy().ravel()
    ties = (mass[:, None] * mass * (p[:, None] == p)).sum()
    assert (mass * scores).sum() == pytest.approx((1 + ties) / 2, abs=1e-6)


@given(st.integers(0, 2**31))
def test_the_places_of_pixels_play_no_part(seed):
    generator = torch.Generator().manual_seed(seed)
    probs, places = torch.rand(2, 2, 50, generator=generator), torch.randperm(50, generator=generator)
    assert torch.equal(expected_coverage_scores(probs[..., places]), expected_coverage_scores(probs)[..., places])


def test_the_set_at_a_cutoff_is_the_smallest_whole_levels_with_more_than_the_rest():
    probs = torch.tensor([[[0.4, 0.3, 0.2, 0.1]]])
    scores = expected_coverage_scores(probs)
    for cutoff, size in ((0.95, 1), (0.65, 1), (0.55, 2), (0.35, 2), (0.25, 3), (0.05, 4)):
        inside = scores >= cutoff
        assert int(inside.sum()) == size
        mass = [float(probs[..., :k].sum()) for k in range(5)]
        assert size == next(k for k in range(5) if mass[k] > 1 - cutoff)


def test_tiny_probabilities_in_a_volume_keep_their_order():
    probs = torch.full((1, 1, 64, 64, 64), 1e-7)
    probs[0, 0, 0, 0, :3] = torch.tensor([2e-7, 3e-7, 0.9])
    scores = expected_coverage_scores(probs)[0, 0, 0, 0]
    assert scores[2] == 1
    assert scores[2] > scores[1] > scores[0] > scores[3]


def test_a_map_of_zeros_is_one_tie():
    assert expected_coverage_scores(torch.zeros(1, 2, 4)).tolist() == [[[1.0] * 4] * 2]


def test_nan_is_not_taken_for_a_map_of_zeros():
    probs = torch.tensor([[[0.5, torch.nan, 0.2]], [[0.5, 0.25, 0.25]]])
    scores = expected_coverage_scores(probs)
    assert torch.isnan(scores[0]).all()
    assert scores[1].tolist() == [[1.0, 0.5, 0.5]]
    assert torch.isnan(logit_scores(probs)).equal(torch.isnan(probs))


def test_log_odds_by_hand_and_clipped():
    scores = logit_scores(torch.tensor([0.0, 1e-7, 0.25, 0.5, 0.75, 1.0]))
    ends = float(np.log((1 - 1e-6) / 1e-6))
    np.testing.assert_allclose(scores.numpy(), [-ends, -ends, -np.log(3), 0, np.log(3), ends], rtol=1e-6)
    assert scores.dtype == torch.float32


@pytest.mark.parametrize("function", [expected_coverage_scores, logit_scores])
def test_scores_can_be_scripted(function):
    probs = torch.rand(2, 1, 8, 8)
    assert torch.equal(torch.jit.script(function)(probs), function(probs))


def test_log_odds_of_large_maps_are_those_of_small_ones(monkeypatch):
    """Large maps are worked through in blocks; not a bit differs."""
    probs = torch.rand(2, 3, 11, 7)
    whole = logit_scores(probs)
    monkeypatch.setattr("monai_coat.functional.scores.BLOCK", 20)
    assert torch.equal(logit_scores(probs), whole)
    assert torch.equal(logit_scores(probs.transpose(1, 3)), whole.transpose(1, 3))
    assert logit_scores(probs.requires_grad_()).requires_grad
