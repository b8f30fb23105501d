# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Stamps of files: everything that a change of a file leaves behind, and nothing that a move of the folder does."""

from __future__ import annotations

import os
import shutil

import pytest
from monai.data import PersistentDataset

from monai_coat.data import file_stamps, hash_with_files


@pytest.fixture
def sample(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("image", "label"):
        (tmp_path / "data" / name).write_text("12")
    return {"id": "a", **{name: str(tmp_path / "data" / name) for name in ("image", "label")}}


@pytest.mark.parametrize("key", ["image", "label"])
def test_another_size_or_time_is_seen(sample, key):
    before = file_stamps([sample]), hash_with_files(sample)
    assert before == (file_stamps([sample]), hash_with_files(sample))
    os.utime(sample[key], ns=(0, 7))
    later = file_stamps([sample]), hash_with_files(sample)
    with open(sample[key], "a") as file:
        file.write("3")
    os.utime(sample[key], ns=(0, 7))
    longer = file_stamps([sample]), hash_with_files(sample)
    for one, other in ((before, later), (later, longer)):
        assert one[0] != other[0]
        assert one[1] != other[1]


def test_a_moved_folder_is_no_change(sample, tmp_path):
    before = file_stamps([sample])
    shutil.move(tmp_path / "data", tmp_path / "elsewhere")
    moved = {key: value.replace("data", "elsewhere") for key, value in sample.items()}
    assert file_stamps([moved]) == before


def test_a_cache_is_made_anew_where_a_file_changed(sample, tmp_path):
    def read(item):
        with open(item["label"]) as file:
            return file.read()

    def cached():
        return PersistentDataset([sample], read, tmp_path / "cache", hash_func=hash_with_files)[0]

    assert cached() == "12"
    with open(sample["label"], "w") as file:
        file.write("34")
    os.utime(sample["label"], ns=(0, 7))
    assert cached() == "34"


def test_a_slice_of_a_series_that_was_replaced_is_seen(tmp_path):
    """In its place: the folder's own time does not change then."""
    series = tmp_path / "series"
    series.mkdir()
    for name in ("1", "2"):
        (series / name).write_text("12")
    sample = {"image": str(series)}
    before = file_stamps([sample])
    assert [name for name, _, _ in before] == ["series/1", "series/2"]
    (series / "2").write_text("123")
    assert file_stamps([sample]) != before
