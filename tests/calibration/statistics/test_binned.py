# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Calibration on a grid: safe on every finite set, and close to the exact cutoff."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import BinnedStatistic, CoverageStatistic, calibrate
from tests.calibration.images import filled, images, miss_rate

GRID = (-1.0, 1.0, 16)
UNITS = st.sampled_from([1, 8, 2**10, 2**32])
LEVELS = st.sampled_from([0.1, 0.125, 0.25, 0.3, 0.5])
# On edges of the grid, between them, and at the ends.
MAPS = images(2, 20, pixels=6, values=(-1.0, -0.875, -0.3, 0.0, 0.1, 0.125, 0.13, 0.5, 0.99, 1.0))


def binned(maps, grid=GRID, unit=2**32, hide_sizes=False):
    return filled(BinnedStatistic(*grid, unit=unit, hide_sizes=hide_sizes), maps)


def with_foreground(maps):
    return [image for image in maps if any(inside for _, inside in image[0])]


def rate(image, cutoff):
    """The false negative rate of float32 scores."""
    return miss_rate([(np.float32(score), inside) for score, inside in image[0]], np.float32(cutoff))


def test_sums_by_hand():
    for unit in (2**32, 2**10):
        statistic = BinnedStatistic(0.0, 1.0, bins=4, unit=unit, hide_sizes=False)
        statistic.update(torch.tensor([[[0.25, 0.5, 0.6]], [[-0.1, 2.0, 0.0]]]), torch.ones(2, 1, 3))
        third, two_thirds = unit // 3 + 1, 2 * unit // 3 + 1
        # Of the first image nothing is below 0 and 0.25, one score below 0.5, all below 0.75; of the second one is
        # below 0.
        expected = [third, two_thirds, two_thirds + third, two_thirds + unit, two_thirds + unit]
        assert statistic.rates.tolist() == [expected]
        assert (statistic.n, statistic.n_empty) == ((2,), (0,))


@given(MAPS, UNITS)
def test_every_sum_is_that_of_the_rates_rounded_up(maps, unit):
    statistic, present = binned(maps, unit=unit), with_foreground(maps)
    for edge, total in zip(statistic.edges, statistic.rates[0], strict=True):
        assert int(total) == sum(math.ceil(rate(image, edge) * unit) for image in present)
    assert (statistic.n, statistic.n_empty) == ((len(present),), (len(maps) - len(present),))


@given(MAPS, LEVELS, UNITS)
def test_the_cutoff_is_at_most_a_step_below_the_exact_one_unless_rounding_decides(maps, alpha, unit):
    exact, statistic, present = filled(CoverageStatistic(), maps), binned(maps, unit=unit), with_foreground(maps)
    if Fraction(str(alpha)) * (exact.n[0] + 1) < 1:
        with pytest.raises(ValueError, match="needs at least"):
            calibrate(statistic, alpha)
        return
    best, result = calibrate(exact, alpha).cutoff[0], calibrate(statistic, alpha)
    assert result.cutoff[0] <= best
    slack = Fraction(len(present), unit)
    budget = Fraction(str(alpha)) * (len(present) + 1) - 1
    sure = [edge for edge in statistic.edges.tolist() if sum(rate(image, edge) for image in present) <= budget - slack]
    assert result.cutoff[0] >= max(sure, default=-1.0)
    if sum(rate(image, best) for image in present) <= budget - slack:
        assert best - result.cutoff[0] < 2 / 16 + 1e-6
    assert result.risk[0] >= float(sum(rate(image, result.cutoff[0]) for image in present)) / result.n[0]
    assert result.risk[0] * result.n[0] <= budget + 1e-9
    if result.cutoff[0] < 1:
        assert "the cutoff is on a grid of steps of 0.125 and not above the exact one" in result.guarantee


@settings(max_examples=40)
@given(MAPS, LEVELS, UNITS)
def test_leaving_one_out_the_miss_is_as_agreed(maps, alpha, unit):
    maps = with_foreground(maps)
    if Fraction(str(alpha)) * len(maps) < 1:
        return
    total = Fraction(0)
    for out, image in enumerate(maps):
        total += rate(image, calibrate(binned(maps[:out] + maps[out + 1 :], unit=unit), alpha).cutoff[0])
    assert total <= Fraction(str(alpha)) * len(maps)


@given(MAPS, MAPS, MAPS, UNITS)
def test_merging_in_any_order_gives_the_same_bits(first, second, third, unit):
    whole = binned(first + second + third, unit=unit)
    for order in ((first, second, third), (third, first, second)):
        merged = BinnedStatistic(*GRID, unit=unit, hide_sizes=False)
        for part in order:
            merged.merge(binned(part, unit=unit))
        assert np.array_equal(merged.rates, whole.rates)
        assert (merged.n, merged.n_empty) == (whole.n, whole.n_empty)


def test_with_hidden_sizes_one_pixel_is_one_part_or_none():
    # Six pixels: four parts, the largest power of two that is not above six, each of 256 units of 1024.
    statistic = BinnedStatistic(0.0, 1.0, 8)
    statistic.update(torch.tensor([[[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]]]), torch.ones(1, 1, 6))
    # Below 0, 1/8, 2/8 ... lie 0, 1, 2, 3, 4, 6, 6, 6, 6 of 6: in quarters, rounded up, 0, 1, 2, 2, 3, 4, 4, 4, 4.
    assert statistic.rates[0].tolist() == [256 * quarters for quarters in (0, 1, 2, 2, 3, 4, 4, 4, 4)]


@given(st.integers(1, 3000), st.integers(0, 2**16))
def test_hidden_or_not_no_rate_is_below_the_true_one(size, seed):
    scores = torch.rand(1, 1, size, generator=torch.Generator().manual_seed(seed))
    hidden, shown = BinnedStatistic(0.0, 1.0, 64), BinnedStatistic(0.0, 1.0, 64, hide_sizes=False)
    for statistic in (hidden, shown):
        statistic.update(scores, torch.ones(1, 1, size))
    true = np.array([int((scores < float(edge)).sum()) for edge in hidden.edges]) * 1024 / size
    assert (hidden.rates[0] >= true).all()
    assert (hidden.rates[0] >= shown.rates[0]).all()
    part = 1024 // min(1024, 2 ** (size.bit_length() - 1))
    assert set(hidden.rates[0] % part) == {0}
    assert (hidden.rates[0] - true < part).all()


def test_coarse_units_cost_about_one_percent_of_the_budget():
    # 200 images of 37 pixels with uniform scores: the mean rate at c is c. At alpha 0.1 the budget is 19.1, of which
    # rounding up takes at most 200 / 1024 = 0.2 images.
    scores = torch.rand(200, 1, 37)
    fine, coarse = BinnedStatistic(0.0, 1.0, 4096, unit=2**32), BinnedStatistic(0.0, 1.0, 4096)
    for statistic in (fine, coarse):
        statistic.update(scores, torch.ones_like(scores))
    assert coarse.unit == 1024
    lost = calibrate(fine, 0.1).cutoff[0] - calibrate(coarse, 0.1).cutoff[0]
    assert 0 <= lost <= 2 * 0.2 / 200


def test_memory_does_not_grow_with_images():
    statistic = BinnedStatistic()
    sizes = []
    for _ in range(3):
        statistic.update(torch.rand(4, 2, 40, 40), torch.ones(4, 2, 40, 40))
        sizes.append(sum(value.nbytes for value in (statistic.rates, statistic.edges, statistic._n)))
    assert sizes == [sizes[0]] * 3


def test_classes_are_apart_and_state_travels(tmp_path):
    statistic = BinnedStatistic(0.0, 1.0, 8, unit=128)
    statistic.update(torch.rand(30, 2, 9), torch.stack([torch.ones(30, 9), torch.zeros(30, 9)], 1))
    assert (statistic.n, statistic.n_empty) == ((30, 0), (0, 30))
    torch.save(statistic.state_dict(), tmp_path / "state.pt")
    other = BinnedStatistic()
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert (other.grid, other.unit) == ((0.0, 1.0, 8), 128)
    assert np.array_equal(other.rates, statistic.rates)
    assert "no promise about class 1" in calibrate(other, 0.1).guarantee


def test_double_precision_is_rounded_down_as_elsewhere():
    edge = np.float32(0.1)
    statistic = BinnedStatistic(float(edge), 1.0, 1, unit=2**32)
    statistic.update(torch.tensor([[[np.nextafter(float(edge), 0.0)]]], dtype=torch.float64), torch.ones(1, 1, 1))
    assert statistic.rates[0, 0] == 2**32  # just below the edge: missed there


@pytest.mark.parametrize("grid", [(1.0, -1.0, 4), (0.0, 1.0, 0), (0.0, math.inf, 4), (1.0, 1.0 + 1e-6, 4096)])
def test_grids_that_are_none_are_refused(grid):
    with pytest.raises(ValueError, match="must make an ascending grid"):
        BinnedStatistic(*grid)


@pytest.mark.parametrize("unit", [0, -1, 1.5, 100, 2**33])
def test_units_that_are_none_are_refused(unit):
    with pytest.raises(ValueError, match=r"unit must be a power of two from 1 to 2\^32, got"):
        BinnedStatistic(unit=unit)


def test_what_does_not_fit_is_refused_and_changes_nothing():
    statistic = binned([[[(0.5, True)] * 6]] * 3)
    before = statistic.rates.copy()
    with pytest.raises(ValueError, match=r"other must have the grid \(-1.0, 1.0, 16\), got \(-1.0, 1.0, 8\)"):
        statistic.merge(BinnedStatistic(-1.0, 1.0, 8))
    with pytest.raises(ValueError, match=r"other must have the unit 4294967296, got 1024"):
        statistic.merge(BinnedStatistic(*GRID))
    with pytest.raises(TypeError, match="other must be a BinnedStatistic, got CoverageStatistic"):
        statistic.merge(CoverageStatistic())
    for scores, labels, message in (
        (torch.rand(1, 2, 6), torch.ones(1, 2, 6), "classes of the batches before"),
        (torch.full((1, 1, 6), torch.nan), torch.ones(1, 1, 6), "finite"),
        (torch.rand(1, 1, 6), torch.full((1, 1, 6), 2.0), "0"),
    ):
        with pytest.raises(ValueError, match=message):
            statistic.update(scores, labels)
    assert np.array_equal(statistic.rates, before)
    with pytest.raises(ValueError, match="at least one image, got none"):
        calibrate(BinnedStatistic(), 0.1)


def test_a_grid_above_the_scores_is_an_error_not_a_cutoff():
    low = BinnedStatistic(0.5, 1.0, 8)
    low.update(torch.full((20, 1, 4), 0.25), torch.ones(20, 1, 4))
    with pytest.raises(ValueError, match=r"low must be a cutoff that misses little enough, got 0.5"):
        calibrate(low, 0.1)


def test_a_grid_below_the_scores_is_safe_and_says_what_it_is():
    # Log odds of 6 and more on a grid of margins: nothing is missed anywhere on it.
    statistic, exact = BinnedStatistic(), CoverageStatistic()
    for one in (statistic, exact):
        one.update(torch.full((20, 1, 4), 6.62), torch.ones(20, 1, 4))
    result = calibrate(statistic, 0.1)
    assert result.cutoff == (1.0,)
    assert calibrate(exact, 0.1).cutoff[0] > 6
    assert "the cutoff is the highest of its grid, 1, and may be far below the exact one" in result.guarantee
    assert "steps" not in result.guarantee


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rates": lambda rates: -rates}, "rates must rise along the grid, from 0 or more"),
        ({"rates": lambda rates: rates - 10**6}, "rates must rise along the grid, from 0 or more"),
        ({"rates": lambda rates: rates.flip(1)}, "rates must rise along the grid"),
        ({"rates": lambda rates: rates * 100}, "to at most one per image"),
        ({"rates": lambda rates: rates.double()}, "rates must be int64 with 2 axes, got float64"),
        ({"rates": lambda rates: rates[:, 1:]}, r"one entry per class and cutoff of the grid, got the shape \(1, 16\)"),
        ({"rates": lambda rates: rates[0]}, "rates must be int64 with 2 axes"),
        ({"n": lambda n: n - 30}, "n not negative"),
        ({"n": lambda n: n.repeat(1, 2)}, "one entry per class and cutoff"),
        ({"n": lambda n: n.double()}, "n must be int64 with 2 axes, got float64"),
        ({"unit": lambda unit: 1}, "to at most one per image"),
        ({"unit": lambda unit: 0}, "unit must be a power of two"),
        ({"grid": lambda grid: grid[[1, 0, 2]]}, "ascending grid"),
    ],
)
def test_states_that_contradict_themselves_are_refused_and_change_nothing(change, message):
    statistic = BinnedStatistic(*GRID)
    statistic.update(torch.rand(20, 1, 9), torch.ones(20, 1, 9))
    state = statistic.state_dict()
    before = calibrate(statistic, 0.1)
    with pytest.raises(ValueError, match=message):
        statistic.load_state_dict(state | {name: edit(state[name]) for name, edit in change.items()})
    assert calibrate(statistic, 0.1) == before
