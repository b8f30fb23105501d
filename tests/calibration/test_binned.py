# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Calibration on a grid: safe on every finite set, close to the exact cutoff, and exact after a second pass."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import (
    BinnedStatistic,
    BracketStatistic,
    CoverageStatistic,
    calibrate,
    calibrate_binned,
    calibrate_bracket,
)

GRID = (-1.0, 1.0, 16)
LEVELS = [0.1, 0.125, 0.25, 0.3, 0.5]
# On edges of the grid, between them, and at the ends; few values, so that ties are the rule.
values = st.sampled_from([-1.0, -0.875, -0.3, 0.0, 0.1, 0.125, 0.13, 0.5, 0.99, 1.0])
image = st.lists(st.tuples(values, st.booleans()), min_size=6, max_size=6)
images = st.lists(image, min_size=2, max_size=20)


def filled(statistic, maps):
    for each in maps:
        statistic.update(torch.tensor([[[s for s, _ in each]]]), torch.tensor([[[y for _, y in each]]]))
    return statistic


def binned(maps, grid=GRID):
    return filled(BinnedStatistic(*grid), maps)


def with_foreground(maps):
    return [each for each in maps if any(y for _, y in each)]


def rate(each, cutoff):
    scores = [np.float32(s) for s, y in each if y]
    return Fraction(sum(bool(s < np.float32(cutoff)) for s in scores), len(scores))


def test_sums_by_hand():
    statistic = BinnedStatistic(0.0, 1.0, bins=4)
    statistic.update(torch.tensor([[[0.25, 0.5, 0.6]], [[-0.1, 2.0, 0.0]]]), torch.ones(2, 1, 3))
    third, two_thirds = 2**32 // 3 + 1, 2 * 2**32 // 3 + 1
    # Of the first image nothing is below 0 and 0.25, one score below 0.5, all below 0.75; of the second one below 0.
    assert statistic.rates.tolist() == [[third, two_thirds, two_thirds + third, two_thirds + 2**32, two_thirds + 2**32]]
    assert (statistic.n, statistic.n_empty) == ((2,), (0,))


@given(images)
def test_every_sum_is_that_of_the_rates_rounded_up(maps):
    statistic, present = binned(maps), with_foreground(maps)
    for edge, found in zip(statistic.edges, statistic.rates[0], strict=True):
        assert int(found) == sum(math.ceil(rate(each, edge) * 2**32) for each in present)
    assert (statistic.n, statistic.n_empty) == ((len(present),), (len(maps) - len(present),))


@given(images, st.sampled_from(LEVELS))
def test_the_cutoff_is_at_most_a_step_below_the_exact_one_unless_rounding_decides(maps, alpha):
    exact, statistic, present = filled(CoverageStatistic(), maps), binned(maps), with_foreground(maps)
    if alpha * (exact.n[0] + 1) < 1:
        with pytest.raises(ValueError, match="needs at least"):
            calibrate_binned(binned(maps), alpha)
        return
    best, found = calibrate(exact, alpha).cutoff[0], calibrate_binned(statistic, alpha)
    assert found.cutoff[0] <= best
    slack = Fraction(len(present), 2**32)
    budget = Fraction(str(alpha)) * (len(present) + 1) - 1
    sure = [edge for edge in statistic.edges.tolist() if sum(rate(each, edge) for each in present) <= budget - slack]
    assert found.cutoff[0] >= max(sure, default=-1.0)
    if sum(rate(each, best) for each in present) <= budget - slack:
        assert best - found.cutoff[0] < 2 / 16 + 1e-6
    assert found.risk[0] >= float(sum(rate(each, found.cutoff[0]) for each in present)) / found.n[0]
    assert "steps of 0.125" in found.guarantee


@settings(max_examples=40)
@given(images, st.sampled_from(LEVELS))
def test_leaving_one_out_the_miss_is_as_agreed(maps, alpha):
    maps = with_foreground(maps)
    if Fraction(str(alpha)) * len(maps) < 1:
        return
    total = Fraction(0)
    for out, each in enumerate(maps):
        total += rate(each, calibrate_binned(binned(maps[:out] + maps[out + 1 :]), alpha).cutoff[0])
    assert total <= Fraction(str(alpha)) * len(maps)


@given(images, images, images)
def test_merging_in_any_order_gives_the_same_bits(first, second, third):
    whole = binned(first + second + third)
    for order in ((first, second, third), (third, first, second)):
        merged = BinnedStatistic(*GRID)
        for part in order:
            merged.merge(binned(part))
        assert np.array_equal(merged.rates, whole.rates)
        assert (merged.n, merged.n_empty) == (whole.n, whole.n_empty)


@given(images, st.sampled_from(LEVELS), st.integers(1, 300))
def test_a_second_pass_is_exact(maps, alpha, bins):
    exact, first = filled(CoverageStatistic(), maps), binned(maps, (-1.0, 1.0, bins))
    if alpha * (exact.n[0] + 1) < 1:
        return
    (bounds,) = first.brackets(alpha)
    halves = [filled(BracketStatistic([bounds]), part) for part in (maps[1:], maps[:1])]
    halves[0].merge(halves[1])
    copy = BracketStatistic([(0.0, 1.0)])
    copy.load_state_dict(halves[0].state_dict())
    expected, found = calibrate(exact, alpha), calibrate_bracket(copy, alpha)
    assert (found.cutoff, found.n, found.n_empty, found.guarantee) == (
        expected.cutoff,
        expected.n,
        expected.n_empty,
        expected.guarantee,
    )
    assert found.risk == pytest.approx(expected.risk, abs=1e-15)
    assert bounds[0] <= found.cutoff[0] < bounds[1]


def test_memory_does_not_grow_with_images():
    statistic = BinnedStatistic()
    sizes = []
    for _ in range(3):
        statistic.update(torch.rand(4, 2, 40, 40), torch.ones(4, 2, 40, 40))
        sizes.append(sum(value.nbytes for value in (statistic.rates, statistic.edges, statistic._n)))
    assert sizes == [sizes[0]] * 3


def test_classes_are_apart_and_state_travels(tmp_path):
    statistic = BinnedStatistic(0.0, 1.0, 8)
    statistic.update(torch.rand(30, 2, 9), torch.stack([torch.ones(30, 9), torch.zeros(30, 9)], 1))
    assert (statistic.n, statistic.n_empty) == ((30, 0), (0, 30))
    torch.save(statistic.state_dict(), tmp_path / "state.pt")
    other = BinnedStatistic()
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert other.grid == (0.0, 1.0, 8)
    assert np.array_equal(other.rates, statistic.rates)
    with pytest.raises(ValueError, match="with class 1, got 0"):
        calibrate_binned(other, 0.1)


def test_double_precision_is_rounded_down_as_elsewhere():
    edge = np.float32(0.1)
    statistic = BinnedStatistic(float(edge), 1.0, 1)
    statistic.update(torch.tensor([[[np.nextafter(float(edge), 0.0)]]], dtype=torch.float64), torch.ones(1, 1, 1))
    assert statistic.rates[0, 0] == 2**32  # just below the edge: missed there


@pytest.mark.parametrize("grid", [(1.0, -1.0, 4), (0.0, 1.0, 0), (0.0, math.inf, 4), (1.0, 1.0 + 1e-6, 4096)])
def test_grids_that_are_none_are_refused(grid):
    with pytest.raises(ValueError, match="must make an ascending grid"):
        BinnedStatistic(*grid)


def test_what_does_not_fit_is_refused_and_changes_nothing():
    statistic = binned([[(0.5, True)] * 6] * 3)
    before = statistic.rates.copy()
    with pytest.raises(ValueError, match=r"other must have the grid \(-1.0, 1.0, 16\), got \(-1.0, 1.0, 8\)"):
        statistic.merge(BinnedStatistic(-1.0, 1.0, 8))
    for scores, labels, message in (
        (torch.rand(1, 2, 6), torch.ones(1, 2, 6), "classes of the batches before"),
        (torch.full((1, 1, 6), torch.nan), torch.ones(1, 1, 6), "finite"),
        (torch.rand(1, 1, 6), torch.full((1, 1, 6), 2.0), "0"),
    ):
        with pytest.raises(ValueError, match=message):
            statistic.update(scores, labels)
    assert np.array_equal(statistic.rates, before)
    with pytest.raises(ValueError, match="at least one image, got none"):
        calibrate_binned(BinnedStatistic(), 0.1)


def test_a_grid_above_the_scores_is_an_error_not_a_cutoff():
    low = BinnedStatistic(0.5, 1.0, 8)
    low.update(torch.full((20, 1, 4), 0.25), torch.ones(20, 1, 4))
    with pytest.raises(ValueError, match=r"low must be a cutoff that misses little enough, got 0.5"):
        calibrate_binned(low, 0.1)


def test_a_second_pass_over_other_images_is_noticed():
    statistic = BracketStatistic([(0.2, 0.3)])
    statistic.update(torch.full((20, 1, 4), 0.9), torch.ones(20, 1, 4))
    with pytest.raises(ValueError, match=r"statistic must hold scores in \[0.2, 0.3\), got none among 20 images"):
        calibrate_bracket(statistic, 0.1)
    with pytest.raises(ValueError, match="classes of the brackets, got 2"):
        statistic.update(torch.rand(1, 2, 4), torch.ones(1, 2, 4))
    with pytest.raises(ValueError, match="other must have the brackets"):
        statistic.merge(BracketStatistic([(0.1, 0.3)]))
