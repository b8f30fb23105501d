# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Tables by hand."""

from __future__ import annotations

import pytest
from scipy import stats

from monai_coat.benchmark import rows_of, to_latex, to_markdown
from monai_coat.benchmark.tables import student_quantile, summary_markdown


def cell(method, gaps, precision=0.5, hashes="abc", network="PSPNet"):
    names = ("coverage", "precision", "stretch_median", "shortfall", "share_below", "set_fraction")
    other = dict.fromkeys(names, 0.25) | {"precision": precision}
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
