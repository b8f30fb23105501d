# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Rows by hand: means, deviations and paired differences."""

from __future__ import annotations

import pytest
from scipy import stats

from monai_coat.comparison import rows_of
from monai_coat.comparison.results.rows import in_whole_groups


def test_mean_deviation_and_paired_difference_by_hand(cells):
    crc, coat, meg = rows_of(cells, "CRC")
    assert (crc.mean["coverage_gap"], crc.sd["coverage_gap"]) == pytest.approx((0.2, 0.1))
    assert (crc.difference, crc.half_width) == (0, 0)
    # Differences 0, -0.1, -0.2: standard error 0.1 / sqrt(3); the quantile of two degrees is in any table.
    assert coat.difference == pytest.approx(-0.1)
    assert coat.half_width == pytest.approx(4.302653 * 0.1 / 3**0.5)
    assert (meg.difference, meg.half_width) == pytest.approx((-0.1, 0.0))


def test_a_draw_taken_both_ways_round_is_one_observation(cell):
    crc = cell("CRC", [0.2] * 6, hashes="abcdef")
    gaps = [0.1, 0.3, 0.0, 0.2, 0.1, 0.1]  # of three draws 0.2, 0.1 and 0.1: differences 0, -0.1 and -0.1
    meg = cell("MEG", gaps, hashes="abcdef")
    for cells in (crc, meg):
        cells["group_splits"] = [
            {**split, "coverage": value} for split, value in zip(cells["splits"], gaps, strict=True)
        ]
    _, row = rows_of(in_whole_groups([crc, meg]), "CRC")
    assert (row.draws, row.mean["splits"]) == (3, 6)
    error = (2 / 3 * 0.1**2 / 2) ** 0.5 / 3**0.5
    assert row.difference == pytest.approx(-0.2 / 3)
    assert row.half_width == pytest.approx(4.302653 * error)
    assert row.coverage_error == pytest.approx(error)
    assert rows_of([crc, meg], "CRC")[1].draws == 6


def test_another_reference_is_another_difference(cells):
    crc, coat, _ = rows_of(cells, "COAT")
    assert crc.difference == pytest.approx(0.1)
    assert coat.difference == 0


@pytest.mark.parametrize("splits", [2, 5, 20])
def test_intervals_are_student_s(cell, rng, splits):
    gaps, hashes = rng.random((2, splits)), [str(number) for number in range(splits)]
    _, row = rows_of([cell("CRC", gaps[0], hashes=hashes), cell("MEG", gaps[1], hashes=hashes)], "CRC")
    interval = stats.ttest_rel(gaps[1], gaps[0]).confidence_interval(0.95)
    assert (row.difference - row.half_width, row.difference + row.half_width) == pytest.approx(tuple(interval))


def test_the_paper_s_numbers_stand_beside_ours(cells):
    crc, coat, meg = rows_of(cells, "CRC")
    assert (crc.published, coat.published, meg.published) == ((0.15, 0.015), (0.11, 0.015), None)


def test_other_splits_are_refused(cells, cell):
    with pytest.raises(ValueError, match="splits must be those of CRC in every cell of a group, got others"):
        rows_of([cells[0], cell("COAT", [0.1, 0.1, 0.1], hashes="abd")], "CRC")


def test_the_ends_of_the_scale_are_known_by_their_fit_and_not_by_their_name(cell):
    bound = cell("best that there can be", [0.0, 0.0, 0.0]) | {"settings": {"fit": "oracle"}}
    own = cell("oracle", [0.0, 0.0, 0.0]) | {"settings": {"fit": "somebody.elses.fit"}}
    assert [row.is_bound for row in rows_of([bound, own], "CRC")] == [True, False]


def test_errors_off_target_are_of_the_mean(cell):
    coverages = [0.90, 0.92, 0.94]
    result = cell("CRC", [0.1, 0.1, 0.1])
    for split, coverage in zip(result["splits"], coverages, strict=True):
        split["coverage"] = coverage
    (row,) = rows_of([result], "CRC")
    assert row.standard_errors_off == pytest.approx(0.02 / (0.02 / 3**0.5))
