# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Tables by hand."""

from __future__ import annotations

from monai_coat.comparison import rows_of, to_latex, to_markdown
from monai_coat.comparison.results.tables import read_results, report_markdown, write_results, write_tables


def test_the_paper_s_numbers_stand_beside_ours(cells):
    text = to_markdown(rows_of(cells, "CRC"), "CRC")
    assert "| COAT | 0.250 (0.000) | 0.100 (0.000) | -0.100 ± " in text
    assert "0.110 (0.015) |" in text


def test_the_head_names_the_reference(cells):
    head = to_markdown(rows_of(cells, "MEG"), "MEG").splitlines()[2]
    columns = "method | coverage | coverage gap | gap minus MEG's | precision | relative set size: median (mean)"
    assert head == f"| {columns} | taken whole | shortfall | published gap |"


def test_latex_has_a_column_per_group_and_a_gap_where_a_cell_is_missing(cells, cell):
    text = to_latex(rows_of([*cells, cell("CRC", [0.4, 0.4, 0.4], network="UNet")], "CRC"))
    assert r"CRC & 0.200 (0.100) & 0.400 (0.000) \\" in text
    assert r"COAT & 0.100 (0.000) &  \\" in text
    assert text.count("&", 0, text.index("PSPNet")) == 3


def test_results_come_back_from_their_file_in_four_decimals(tmp_path, cell):
    exact = cell("CRC", [0.12344, 0.2, 1 / 3]) | {"coverage_of_first_split": [1.0, 0.5]}
    write_results([exact], tmp_path / "results.json")
    (back,) = read_results(tmp_path / "results.json")
    assert [split["coverage_gap"] for split in back["splits"]] == [0.1234, 0.2, 0.3333]
    assert [split["hash"] for split in back["splits"]] == ["a", "b", "c"]
    assert "coverage_of_first_split" not in back


def test_a_report_is_written_as_it_is_printed(tmp_path, cells, tiny):
    rows, protocol = rows_of(cells, "CRC"), tiny()
    markdown, latex = write_tables(rows, protocol, tmp_path)
    assert markdown.read_text() == report_markdown(rows, protocol)
    assert markdown.read_text().startswith("# Comparison of methods: tiny\n\nMean (SD) over 4 splits.\n")
    assert latex.read_text() == to_latex(rows)
