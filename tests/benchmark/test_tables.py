# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Tables by hand."""

from __future__ import annotations

import pytest
from scipy import stats

from monai_coat.benchmark import rows_of, to_latex, to_markdown
from monai_coat.benchmark.overview import overview_markdown, summary_markdown
from monai_coat.benchmark.rows import student_quantile
from monai_coat.benchmark.tables import read_results, write_results


def cell(method, gaps, precision=0.5, hashes="abc", network="PSPNet", coverage=0.25):
    names = ("stretch_median", "shortfall", "share_below", "set_fraction")
    other = dict.fromkeys(names, 0.25) | {"precision": precision, "coverage": coverage}
    splits = [{"hash": h, "coverage_gap": gap} | other for h, gap in zip(hashes, gaps, strict=True)]
    return {"dataset": "polyp", "network": network, "alpha": 0.1, "method": method, "splits": splits}


CELLS = [cell("CRC", [0.1, 0.2, 0.3]), cell("COAT", [0.1, 0.1, 0.1], 0.4), cell("MEG", [0.0, 0.1, 0.2])]


def test_mean_deviation_and_paired_difference_by_hand():
    crc, coat, meg = rows_of(CELLS)
    assert (crc.mean["coverage_gap"], crc.sd["coverage_gap"]) == pytest.approx((0.2, 0.1))
    assert (crc.difference, crc.half_width) == (0, 0)
    # Differences 0, -0.1, -0.2: standard error 0.1 / sqrt(3).
    assert coat.difference == pytest.approx(-0.1)
    assert coat.half_width == pytest.approx(student_quantile(2) * 0.1 / 3**0.5)
    assert (meg.difference, meg.half_width) == pytest.approx((-0.1, 0.0))


def test_the_paper_s_numbers_stand_beside_ours():
    crc, coat, meg = rows_of(CELLS)
    assert (crc.published, coat.published, meg.published) == ((0.15, 0.015), (0.11, 0.015), None)
    text = to_markdown([crc, coat, meg])
    assert "| COAT | 0.250 (0.000) | 0.100 (0.000) | -0.100 ± " in text
    assert "0.110 (0.015) |" in text


def test_the_best_of_the_summary_is_as_precise_as_crc():
    line = summary_markdown(rows_of(CELLS), "COAT").splitlines()[-1]
    assert line == "| polyp, PSPNet, 0.1 | 0.200 / 0.500 | 0.100 / 0.400 | 0.50 | MEG, 0.100 / 0.500 |"


def test_latex_has_a_column_per_group_and_a_gap_where_a_cell_is_missing():
    text = to_latex(rows_of([*CELLS, cell("CRC", [0.4, 0.4, 0.4], network="UNet")]))
    assert r"CRC & 0.200 (0.100) & 0.400 (0.000) \\" in text
    assert r"COAT & 0.100 (0.000) &  \\" in text
    assert text.count("&", 0, text.index("PSPNet")) == 3


def test_other_splits_are_refused():
    with pytest.raises(ValueError, match="splits must be those of CRC in every cell of a group, got others"):
        rows_of([CELLS[0], cell("COAT", [0.1, 0.1, 0.1], hashes="abd")])


@pytest.mark.parametrize("degrees", [4, 9, 19, 99])
def test_student_s_quantile(degrees):
    assert student_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=3e-3)


def test_the_overview_averages_over_networks_and_counts_who_won():
    unet = [
        cell("CRC", [0.4, 0.4, 0.4], 0.7, network="UNet", coverage=0.9),
        cell("COAT", [0.3, 0.3, 0.3], 0.8, network="UNet", coverage=0.95),
        cell("MEG", [0.2, 0.2, 0.2], 0.6, network="UNet", coverage=0.9),
        cell("everything", [0.1, 0.1, 0.1], 0.0, network="UNet", coverage=1.0),
    ]
    lines = overview_markdown(rows_of([*CELLS, *unet]), "MEG").splitlines()
    assert lines[2] == "| method | polyp 0.1 | groups off target |"
    # PSPNet's coverage is 0.25 for all methods.
    assert lines[4:8] == [
        "| CRC | 0.300 / 0.60 | 1 below, 0 above |",
        "| COAT | 0.200 / 0.60 | 1 below, 1 above |",
        "| MEG | 0.150 / 0.55 | 1 below, 0 above |",
        "| everything | 0.100 / 0.00 | 0 below, 1 above |",
    ]
    assert lines[-1] == (
        "Of 2 groups, MEG has a smaller gap than CRC in 2, is as precise in 1, has the least gap of all methods as "
        "precise as CRC in 1, and of all methods in 1."
    )


def test_results_come_back_from_their_file_in_four_decimals(tmp_path):
    exact = cell("CRC", [0.12344, 0.2, 1 / 3]) | {"coverage_of_first_split": [1.0, 0.5]}
    write_results([exact], tmp_path / "results.json")
    (back,) = read_results(tmp_path / "results.json")
    assert [split["coverage_gap"] for split in back["splits"]] == [0.1234, 0.2, 0.3333]
    assert [split["hash"] for split in back["splits"]] == ["a", "b", "c"]
    assert "coverage_of_first_split" not in back
