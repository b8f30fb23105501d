# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The folder that MONAI Label takes."""

from __future__ import annotations

import errno
import shutil

import pytest

from monai_coat.cli import main


def test_a_label_app_is_a_folder_with_one_file(tmp_path, capsys):
    assert main(["label-app", str(tmp_path / "app")]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "app" / "main.py")]
    assert "from monai_coat.apps.label.app import CoatLabelApp" in (tmp_path / "app" / "main.py").read_text()
    with pytest.raises(SystemExit):
        main(["label-app", str(tmp_path / "app")])
    assert "folder must not exist" in capsys.readouterr().err


def test_an_app_that_could_not_be_written_can_be_written_again(tmp_path, capsys, monkeypatch):
    def full(source, target):
        target.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copy", full)
        with pytest.raises(SystemExit) as caught:
            main(["label-app", str(tmp_path / "app")])
    assert caught.value.code == 2
    assert f"got {tmp_path / 'app'} (No space left on device)" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert main(["label-app", str(tmp_path / "app")]) == 0
