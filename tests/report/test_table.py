# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import csv
import dataclasses
import io
import math
import os

import numpy as np
import pytest

from monai_coat.report import (
    ImageRecord,
    MethodSummary,
    comparison_table,
    save_table,
    summarize,
    to_csv,
    to_markdown,
)


def test_a_row_by_hand(records):
    row = summarize("crc", records["crc"], alpha=0.25)
    # Coverage 1, 0.5, 0 with target 0.75: mean 0.5, sample deviation 0.5; gaps 0.25, 0.25, 0.75;
    # shortfalls 0, 0.25, 0.75.
    assert (row.method, row.n, row.n_empty) == ("crc", 3, 1)
    assert row.marginal_coverage == 0.5
    assert row.marginal_se == pytest.approx(0.5 / math.sqrt(3))
    assert row.coverage_gap == pytest.approx(1.25 / 3)
    assert row.shortfall == pytest.approx(1 / 3)
    assert row.share_below == pytest.approx(2 / 3)
    # Sets of 16, 4, 0 pixels on 8, 8, 4: relative set size 2, 0.5, 0. Precision 0.5, 1, and 1 of the empty third set.
    assert row.relative_size_mean == pytest.approx(2.5 / 3)
    assert row.relative_size_median == 0.5
    assert row.precision == pytest.approx(2.5 / 3)
    assert row.false_alarm == 0.25  # 25 of 100 pixels of the image without foreground


def oracle(method, records, alpha):
    """The same in NumPy from the counts, without the properties of a record."""
    hits, size, foreground, pixels = (
        np.array([getattr(r, name) for r in records], dtype=float)
        for name in ("true_positives", "set_size", "foreground", "pixels")
    )
    full = foreground > 0
    coverage = hits[full] / foreground[full]
    precision = [h / s if s else 1.0 for h, s in zip(hits[full], size[full], strict=True)]
    return (
        method,
        full.sum(),
        (~full).sum(),
        coverage.mean(),
        np.sqrt(((coverage - coverage.mean()) ** 2).sum() / (full.sum() - 1) / full.sum()),
        np.abs(1 - alpha - coverage).mean(),
        np.where(coverage < 1 - alpha, 1 - alpha - coverage, 0).mean(),
        np.count_nonzero(coverage < 1 - alpha) / full.sum(),
        (size[full] / foreground[full]).mean(),
        np.quantile(size[full] / foreground[full], 0.5),
        np.mean(precision),
        (size[~full] / pixels[~full]).mean(),
    )


@pytest.mark.parametrize("seed", range(5))
def test_rows_agree_with_numpy(seed):
    rng = np.random.default_rng(seed)
    records = []
    for i in range(40):
        foreground = int(rng.integers(0, 5)) * 7
        hits = int(rng.integers(0, foreground + 1))
        size = hits + int(rng.integers(0, 3)) * 5
        records.append(
            ImageRecord(str(i), hits / foreground if foreground else math.nan, size, hits, foreground, 64, 0.5)
        )
    row = dataclasses.astuple(summarize("m", records, 0.25))
    expected = oracle("m", records, 0.25)
    assert row[:3] == expected[:3]
    np.testing.assert_allclose(row[3:], expected[3:], rtol=1e-12)


def test_nine_of_ten_is_not_below_nine_tenths(record):
    row = summarize("m", [record("a", 9, 9, 10), record("b", 27, 27, 30)], alpha=0.1)
    assert (row.share_below, row.shortfall, row.coverage_gap) == (0, 0, 0)
    assert summarize("m", [record("a", 1, 9, 10)], alpha=0.9).share_below == 0  # 1 - 0.9 is not 0.1 for a computer


def test_what_cannot_be_known_is_nan(record):
    row = summarize("m", [record("a", 0, 0, 8)], alpha=0.1)
    assert math.isnan(row.marginal_se)
    assert row.precision == 1.0
    assert math.isnan(row.false_alarm)


def test_arguments_of_summarize(records):
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\), got 1\.0"):
        summarize("crc", records["crc"], 1.0)
    with pytest.raises(
        ValueError, match="records of 'crc' must hold at least one image with foreground, got 0 without"
    ):
        summarize("crc", [], 0.1)


def test_the_trivial_predictor_comes_last_with_a_gap_of_alpha(records):
    rows = comparison_table(records, alpha=0.1)
    assert [row.method for row in rows] == ["crc", "coat", "predict-all"]
    assert rows[:2] == [summarize(method, each, 0.1) for method, each in records.items()]
    last = rows[2]
    assert (last.marginal_coverage, last.shortfall, last.share_below, last.false_alarm) == (1, 0, 0, 1)
    assert last.coverage_gap == pytest.approx(0.1, abs=1e-15)
    assert last.relative_size_median == 12.5  # 100 pixels over 8
    assert len(comparison_table(records, 0.1, trivial=False)) == 2


def test_arguments_of_the_table(records):
    with pytest.raises(ValueError, match="must hold at least one method"):
        comparison_table({}, 0.1)
    with pytest.raises(ValueError, match="same images for every method"):
        comparison_table({**records, "at": records["crc"][:2]}, 0.1)
    taken = {"predict-all": records["crc"]}
    with pytest.raises(
        ValueError, match="must not name a method 'predict-all' when trivial is True, got 'predict-all'"
    ):
        comparison_table(taken, 0.1)
    assert len(comparison_table(taken, 0.1, trivial=False)) == 1


def test_markdown(records):
    caption, blank, header, rule, *lines = to_markdown(comparison_table(records, 0.25), 0.25).splitlines()
    for part in ("alpha = 0.25", "target coverage 0.75", "3 images with foreground", "1 image without, left out"):
        assert part in caption
    for part in ("→ target", "↓ lower is better", "↑ higher is better", "taking everything has a gap of 0.25"):
        assert part in caption
    assert blank == ""
    assert header.startswith(
        "| Method | Marginal coverage → 0.75 | Coverage gap ↓ | Shortfall ↓ | Share below target ↓ |"
    )
    assert header.endswith("| Relative set size, mean ↓ | Relative set size, median ↓ | Precision ↑ | False alarm ↓ |")
    assert {line.count("|") for line in [header, rule, *lines]} == {10}
    assert lines[0] == "| crc | 0.500 ± 0.289 | 0.417 | 0.333 | 0.667 | 0.833 | 0.500 | 0.833 | 0.250 |"
    assert lines[2].startswith("| predict-all | 1.000 ± 0.000 | 0.250 | 0.000 | 0.000 |")


def test_markdown_without_empty_images_and_with_odd_names(record):
    rows = [summarize("a|b\nc", [record("x", 0, 0, 8)], 0.1)]
    caption, _, _, _, line = to_markdown(rows, 0.1).splitlines()
    assert "1 image with foreground. →" in caption
    assert line == r"| a\|b c | 0.000 ± n/a | 0.900 | 0.900 | 1.000 | 0.000 | 0.000 | 1.000 | n/a |"


def test_markdown_is_of_one_test_set(records):
    rows = comparison_table(records, 0.1)
    with pytest.raises(
        ValueError, match=r"rows must be of one test set, got \(n, n_empty\) = \(2, 0\), \(3, 1\); make"
    ):
        to_markdown([rows[0], summarize("coat", records["coat"][:2], 0.1)], 0.1)
    with pytest.raises(ValueError, match=r"rows must be of one test set, got .* = none"):
        to_markdown([], 0.1)


def test_csv_keeps_every_digit(records):
    rows = comparison_table(records, 0.1)
    read = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert list(read[0]) == [field.name for field in dataclasses.fields(MethodSummary)]
    for row, cells in zip(rows, read, strict=True):
        values = dataclasses.asdict(row)
        assert cells.pop("method") == values.pop("method")
        assert {name: float(cell) for name, cell in cells.items()} == values


def test_a_statement_stands_below_the_table(tmp_path, records):
    rows = comparison_table(records, 0.1)
    assert to_markdown(rows, 0.1, "Drawn so.") == to_markdown(rows, 0.1) + "\nDrawn so.\n"
    save_table(rows, 0.1, tmp_path, "Drawn so.")
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == to_markdown(rows, 0.1, "Drawn so.")


def test_save_table(tmp_path, records):
    rows = comparison_table(records, 0.1)
    save_table(rows, 0.1, tmp_path / "new")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["table.csv", "table.md"]
    assert (tmp_path / "new" / "table.csv").read_text(encoding="utf-8") == to_csv(rows)
    assert (tmp_path / "new" / "table.md").read_text(encoding="utf-8") == to_markdown(rows, 0.1)


def test_a_table_that_cannot_be_written_leaves_no_file(tmp_path, records, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_table(comparison_table(records, 0.1), 0.1, tmp_path)
    assert list(tmp_path.iterdir()) == []
