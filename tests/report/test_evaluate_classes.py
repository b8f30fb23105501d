# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One network, a row for each class: with numbers of its own, and without a row where no image has the class."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from monai_coat.metrics import ImageRecord
from monai_coat.report import evaluate_classes, load_records


def record(name: str, hits: int, taken: int, foreground: int) -> ImageRecord:
    return ImageRecord(name, hits / foreground if foreground else math.nan, taken, hits, foreground, 100, 0.5)


class Evaluator(SimpleNamespace):
    """What is asked of an evaluator: it runs, and leaves records."""

    def run(self) -> None:
        self.state = SimpleNamespace(records=self.found)


SEVERAL = [record("a:0", 8, 10, 10), record("a:1", 2, 2, 4), record("a:2", 0, 5, 0)]
SEVERAL += [record("b:0", 6, 12, 10), record("b:1", 0, 1, 0), record("b:2", 0, 0, 0)]


def test_rows_are_classes_the_worst_of_them_and_the_predictor_that_takes_everything(tmp_path):
    rows = evaluate_classes(Evaluator(found=SEVERAL), ["liver", "tumour", "cyst"], 0.2, tmp_path, "Two images.")
    assert [(row.method, row.n) for row in rows] == [
        ("liver", 2),
        ("tumour", 1),
        ("worst_class", 2),
        ("predict-all", 2),
    ]
    # The worst class of a is the tumour, of which half is covered, and that of b the liver: (0.5 + 0.6) / 2.
    assert [row.marginal_coverage for row in rows] == pytest.approx([0.7, 0.5, 0.55, 1.0])
    text = (tmp_path / "table.md").read_text()
    assert "| liver | 2 | 0.700" in text
    assert "No test image contains cyst.\n\nTwo images." in text
    assert load_records(tmp_path / "records.csv")[0] == SEVERAL[0]
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 5


def test_one_class_is_its_own_worst(tmp_path):
    rows = evaluate_classes(Evaluator(found=[record("a", 8, 10, 10)]), ["liver"], 0.2, tmp_path)
    assert [row.method for row in rows] == ["liver", "predict-all"]
    assert rows[1].relative_size_mean == 10


def test_images_without_any_foreground_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="test images must have foreground, got 1 records without"):
        evaluate_classes(Evaluator(found=[record("a", 0, 10, 0)]), ["liver"], 0.2, tmp_path)
    assert not list(tmp_path.iterdir())
