# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Temporary files end with the requests that wrote them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("psutil", reason="MONAI Label is not installed; make label-test has an environment with it")

from monai_coat.apps.label.visits import RequestFiles, Visit, current_visit, visiting


@pytest.fixture
def files(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return RequestFiles()


def write(seconds_ago: float = 0.0) -> Path:
    with tempfile.NamedTemporaryFile(suffix=".nii", delete=False) as file:
        path = Path(file.name)
    os.utime(path, (path.stat().st_mtime - seconds_ago,) * 2)
    return path


def test_files_go_when_the_last_request_ends_that_was_there_when_they_came(files: RequestFiles):
    first, second = files.of_request(), files.of_request()
    first.__enter__()
    early = write(seconds_ago=100)
    second.__enter__()
    late = write()
    first.__exit__(None, None, None)
    assert (early.exists(), late.exists()) == (False, True)
    second.__exit__(None, None, None)
    assert not late.exists()


def test_folders_go_too_and_so_they_do_after_errors(files: RequestFiles):
    with pytest.raises(KeyError), files.of_request():  # noqa: PT012
        folder = Path(tempfile.mkdtemp())
        (folder / "a").write_text("x")
        raise KeyError
    assert not folder.exists()
    assert files.folder.is_dir()


def test_the_folder_is_private_and_goes_with_its_process(tmp_path):
    script = "from monai_coat.apps.label.visits import RequestFiles; files = RequestFiles(); "
    environment = {**os.environ, "TMPDIR": str(tmp_path)}

    def run(end: str) -> None:
        subprocess.run([sys.executable, "-c", script + end], env=environment, check=False)

    run("import os; assert os.stat(files.folder).st_mode & 0o77 == 0; (files.folder / 'a').touch()")
    assert list(tmp_path.iterdir()) == []
    run("import os; os.kill(os.getpid(), 9)")
    assert len(list(tmp_path.iterdir())) == 1
    run("pass")  # the next server removes what the killed one left
    assert list(tmp_path.iterdir()) == []


def test_outside_of_requests_nothing_was_brought():
    assert current_visit() == Visit()
    with visiting(Visit(frozenset({"file"}), "name")):
        assert current_visit().session == "name"
    assert current_visit() == Visit()
