# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import math

import numpy as np
import pytest

import monai_coat.metrics
from monai_coat.report import ImageRecord, load_records, predict_all_records, save_records
from monai_coat.report.records import check_same_images, with_foreground


def test_there_is_one_record_class():
    assert ImageRecord is monai_coat.metrics.ImageRecord


def test_properties(record):
    image = record("a", 6, 12, 8)
    assert (image.relative_set_size, image.precision, image.set_fraction) == (1.5, 0.5, 0.12)
    assert record("a", 0, 0, 8).precision == 1.0  # nothing in an empty set is wrong
    assert math.isnan(record("a", 0, 5, 0).relative_set_size)


def test_the_predictor_of_all_takes_every_pixel(records):
    trivial = predict_all_records(records["crc"])
    assert [r.name for r in trivial] == ["a", "b", "c", "d"]
    assert [r.set_size for r in trivial] == [100] * 4
    assert [r.true_positives for r in trivial] == [8, 8, 4, 0]
    assert [r.coverage for r in trivial[:3]] == [1.0] * 3
    assert math.isnan(trivial[3].coverage)
    assert [r.difficulty for r in trivial] == [r.difficulty for r in records["crc"]]


NAMES = ["plain", "comma, quote\" and 'quote'", "two\nlines", "carriage\rreturn", "Übung", " space ", "", "nan", "7"]


def test_saved_records_are_read_back_unchanged(tmp_path):
    rng = np.random.default_rng(0)
    values = [0.1 + 0.2, 1 / 3, 5e-324, 1.0, math.nan, *rng.random(4).tolist()]
    saved = [ImageRecord(n, v, 2**40, 3, 7, 2**40, 1 - v) for n, v in zip(NAMES, values, strict=True)]
    save_records(saved, tmp_path / "new" / "records.csv")
    loaded = load_records(tmp_path / "new" / "records.csv")
    assert list(map(repr, loaded)) == list(map(repr, saved))  # repr, for NaN is not itself


def test_numbers_of_numpy_are_written_as_numbers(tmp_path):
    save_records([ImageRecord("a", np.float64(0.7), np.int64(3), 2, 4, 16, np.float32(0.5))], tmp_path / "r.csv")
    assert load_records(tmp_path / "r.csv") == [ImageRecord("a", 0.7, 3, 2, 4, 16, 0.5)]


def test_no_records(tmp_path):
    save_records([], tmp_path / "r.csv")
    assert load_records(tmp_path / "r.csv") == []


def test_records_that_cannot_be_written_leave_no_file(tmp_path, record):
    def broken():
        yield record("a", 1, 1, 1)
        raise RuntimeError("evaluation failed")

    with pytest.raises(RuntimeError, match="evaluation failed"):
        save_records(broken(), tmp_path / "r.csv")
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_records(tmp_path, record):
    path = tmp_path / "r.csv"
    with pytest.raises(FileNotFoundError, match=r"path must be a file of records, got .*r\.csv.*save_records"):
        load_records(path)
    path.write_text("")
    with pytest.raises(ValueError, match=r"must have the columns name,coverage,set_size,.* got none in"):
        load_records(path)
    path.write_text("epoch,loss\n1,0.5\n")
    with pytest.raises(ValueError, match=r"must have the columns .* got epoch,loss in .*save_records"):
        load_records(path)
    save_records([record("a", 1, 1, 1)], path)
    for line in ("b,0.5,two,1,1,100,0.25\n", "b,0.5\n", "b,0.5,1.5,1,1,100,0.25\n"):
        whole = path.read_text()
        path.write_text(whole + line)
        with pytest.raises(ValueError, match=r"line 3 of .*r\.csv must hold 7 cells.*got 'b,0\.5"):
            load_records(path)
        path.write_text(whole)


def test_images_without_foreground_are_left_out_and_others_must_have_a_coverage(records):
    assert [r.name for r in with_foreground(records["crc"], "crc")] == ["a", "b", "c"]
    with pytest.raises(
        ValueError, match="records of 'crc' must hold at least one image with foreground, got 1 without"
    ):
        with_foreground(records["crc"][3:], "crc")
    for coverage in (math.nan, 1.5, -0.1):
        with pytest.raises(ValueError, match=rf"coverage must be in \[0, 1\].* got {coverage} for 'x' of 'crc'"):
            with_foreground([ImageRecord("x", coverage, 1, 1, 2, 4, 0.5)], "crc")


def test_methods_are_compared_on_the_same_images(records, record):
    check_same_images(records)
    check_same_images({"crc": records["crc"], "coat": records["coat"][::-1]})  # in any order
    with pytest.raises(ValueError, match="records must hold at least one method, got none"):
        check_same_images({})
    message = "same images for every method, got {} that differ between 'crc' and 'coat' .* such as '{}'"
    with pytest.raises(ValueError, match=message.format(1, "d")):
        check_same_images({**records, "coat": records["coat"][:3]})
    with pytest.raises(ValueError, match=message.format(1, "a")):
        check_same_images({**records, "coat": [*records["coat"], records["coat"][0]]})
    with pytest.raises(ValueError, match=message.format(2, "a")):  # the label of a is another
        check_same_images({**records, "coat": [record("a", 7, 8, 9), *records["coat"][1:]]})
