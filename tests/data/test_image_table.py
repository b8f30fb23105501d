# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.data import column_of, read_image_table


def written(folder, text, encoding="utf-8"):
    path = Path(folder) / "images.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_common_form_of_csv_says_the_same(tmp_path, separator, end):
    lines = ['id,site,"age"', " a1 ,north,40", "", "a2,south,"]
    text = end.join(lines).replace(",", separator) + end
    for encoding in ("utf-8", "utf-8-sig"):
        table = read_image_table(written(tmp_path, text, encoding))
        assert {name: dict(row) for name, row in table.items()} == {
            "a1": {"site": "north", "age": "40"},
            "a2": {"site": "south", "age": ""},
        }


VALUES = st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1, max_size=6)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(VALUES, VALUES, min_size=1, max_size=8))
def test_what_the_csv_module_writes_is_read(entries):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["id", "site"], *entries.items()])
        table = read_image_table(path)
        assert column_of(table, "site", entries) == entries


def test_an_accent_is_one_letter_as_in_names_of_files(tmp_path):
    assert list(read_image_table(written(tmp_path, "id,site\nne\u0301e,x\n"))) == ["n\u00e9e"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,site\na,b\n", "name a column 'id', got name, site"),
        ("", "name a column 'id', got nothing"),
        ("id,site,site\na,b,c\n", "different names, got 'site' twice"),
        ("id,site\na,b\n\na,c\n", "got 'a' again in line 4"),
        ("id,site\n,b\n", "line 2 must have an id"),
        ("id,site\na\n", "line 2 must have 2 values, got 1"),
        ("id,site\na,b,c\n", "line 2 must have 2 values, got 3"),
        ("id,site\n", "at least one image"),
        ('id,site\na,"b\n', "images.csv"),
    ],
)
def test_a_table_that_says_too_little_is_refused(tmp_path, text, said):
    with pytest.raises(ValueError, match=said):
        read_image_table(written(tmp_path, text))


def test_another_encoding_and_no_file_are_refused(tmp_path):
    with pytest.raises(ValueError, match="in UTF-8"):
        read_image_table(written(tmp_path, "id,site\na,Zürich\n", "latin-1"))
    with pytest.raises(FileNotFoundError, match="is a folder"):
        read_image_table(tmp_path)


@pytest.mark.parametrize(
    ("key", "ids", "said"),
    [
        ("city", ["a"], "column of the table, site, got 'city'"),
        ("site", ["a", "c"], "none for 1 of 2, such as 'c'"),
        ("site", ["a", "b"], "say the 'site' of each image, got none for 1 of 2, such as 'b'"),
    ],
)
def test_what_a_table_does_not_say_is_asked_for(key, ids, said):
    with pytest.raises(ValueError, match=said):
        column_of({"a": {"site": "north"}, "b": {"site": ""}}, key, ids)
