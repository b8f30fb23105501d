# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Groups of the paper that are run a few at a time stand beside those that were run before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.paper_groups import write
from monai_coat.comparison import ComparisonData, run_comparison
from monai_coat.comparison.results.tables import read_results


def test_groups_are_put_beside_those_that_are_there(tiny, tmp_path):
    protocol = tiny(alphas=(0.2, 0.3), group_splits=4)
    parts = [run_comparison(ComparisonData(replace(protocol, alphas=(a,)), tmp_path / "out")) for a in (0.3, 0.2)]
    write(protocol, parts[0], tmp_path / "results")
    first = read_results(tmp_path / "results" / "results.json")
    write(protocol, parts[1], tmp_path / "results")
    both = read_results(tmp_path / "results" / "results.json")
    assert [(cell["alpha"], cell["method"]) for cell in both] == [
        (alpha, method) for alpha in (0.2, 0.3) for method in protocol.methods
    ]
    assert both[len(protocol.methods) :] == first
    text = (tmp_path / "results" / "tables.md").read_text()
    assert text.count("alpha 0.2: ") == text.count("alpha 0.3: ") == 2  # in words, by image and in whole groups
    changed = [{**parts[1][0], "seed": 7}]
    write(protocol, changed, tmp_path / "results")
    again = read_results(tmp_path / "results" / "results.json")
    assert [cell["seed"] for cell in again] == [7] + [pytest.approx(protocol.seed)] * (len(both) - 1)
