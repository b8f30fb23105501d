# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The results in the documentation are those of their JSON files."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_coat.comparison import load_protocol, rows_of
from monai_coat.comparison.results.rows import in_whole_groups
from monai_coat.comparison.results.tables import read_results, report_markdown

RESULTS = Path(__file__).parents[3] / "docs" / "results"
PROTOCOLS = {"benchmark": "paper", "benchmark_small": "paper_small", "predictions": "predictions", "ablations": "study"}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_tables_are_those_of_the_results(name):
    protocol = load_protocol(PROTOCOLS[name])
    results = read_results(RESULTS / name / "results.json")
    rows, by_groups = (rows_of(each, protocol.reference) for each in (results, in_whole_groups(results)))
    expected = report_markdown(rows, protocol, by_groups=by_groups)
    assert (RESULTS / name / "tables.md").read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_line_of_a_table_in_the_text_is_from_the_tables(name):
    text = (RESULTS / f"{name}.md").read_text(encoding="utf-8").splitlines()
    tables = set((RESULTS / name / "tables.md").read_text(encoding="utf-8").splitlines())
    lines = [line for line in text if line.startswith("| ")]
    assert lines
    assert [line for line in lines if line not in tables] == []
