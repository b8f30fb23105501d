# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""JSON files: whole, finite, and named when they are wrong."""

from __future__ import annotations

import pytest

from monai_coat.files import read_json, write_json


def test_what_was_written_is_read(tmp_path):
    write_json(tmp_path / "deep" / "a.json", {"n": [1, 2.5, None, "ü"]})
    assert read_json(tmp_path / "deep" / "a.json", "a", "b") == {"n": [1, 2.5, None, "ü"]}


@pytest.mark.parametrize("content", [{"x": float("nan")}, {"x": float("inf")}, {"x": {1, 2}}])
def test_what_json_cannot_hold_leaves_the_old_file(tmp_path, content):
    path = tmp_path / "a.json"
    write_json(path, {"old": True})
    with pytest.raises((ValueError, TypeError)):
        write_json(path, content)
    assert read_json(path, "a", "b") == {"old": True}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"the record must be a JSON file, got .*a\.json, which is none .*; write it again\."),
        ("[" * 200_000, r"the record must be a JSON file, got .*a\.json, which is none"),
        ("[1]", r"the record must hold a JSON object, got a list in .*a\.json; write it again\."),
    ],
)
def test_other_contents_are_refused_by_name(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_json(tmp_path / "a.json", "the record", "write it again")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the record must be a file, got .*none\.json, which does not exist"):
        read_json(tmp_path / "none.json", "the record", "write it")
