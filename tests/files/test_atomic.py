# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import os

import pytest

from monai_coat.files.atomic import replacing


def test_the_file_appears_whole_in_a_folder_that_is_made(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("all of it")
        assert temporary.parent == path.parent
        assert not path.exists()
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
    assert path.read_text() == "all of it"


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]
    assert path.read_text() == "old"


@pytest.mark.skipif(os.name != "posix", reason="permissions are of POSIX")
def test_others_may_read_it_as_the_umask_says(tmp_path):
    plain = tmp_path / "plain.txt"
    plain.write_text("")
    with replacing(tmp_path / "file.txt") as temporary:
        temporary.write_text("")
    assert (tmp_path / "file.txt").stat().st_mode == plain.stat().st_mode
