# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The folder that MONAI Label takes."""

from __future__ import annotations

import pytest

from monai_coat.cli import main


def test_a_label_app_is_a_folder_with_one_file(tmp_path, capsys):
    assert main(["label-app", str(tmp_path / "app")]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "app" / "main.py")]
    assert "from monai_coat.apps.label.app import CoatLabelApp" in (tmp_path / "app" / "main.py").read_text()
    with pytest.raises(SystemExit):
        main(["label-app", str(tmp_path / "app")])
    assert "folder must not exist" in capsys.readouterr().err
