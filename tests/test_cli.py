# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Commands beside MONAI's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from monai_coat.cli import STEPS, main

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "polyp_coat"


def test_export_writes_one_self_contained_config_per_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["export-bundle", str(BUNDLE), str(tmp_path / "out")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(STEPS)
    for step, overlays in STEPS.items():
        merged = ConfigParser()
        merged.read_config([BUNDLE / "configs" / f"{name}.json" for name in overlays])
        alone = json.loads((tmp_path / "out" / "configs" / f"{step}.json").read_text())
        assert alone == merged.config
    assert not (tmp_path / "out" / "configs" / "common.json").exists()
    assert (tmp_path / "out" / "LICENSE").is_file()


def test_export_refuses_a_folder_that_exists_or_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for arguments in ([str(BUNDLE), str(tmp_path)], [str(tmp_path), str(tmp_path / "out")]):
        with pytest.raises(SystemExit) as caught:
            main(["export-bundle", *arguments])
        assert caught.value.code == 2
    message = capsys.readouterr().err
    assert "target must not exist" in message
    assert "source must hold configs/" in message
    assert not (tmp_path / "out").exists()


def test_export_leaves_results_behind(tmp_path: Path):
    shutil.copytree(BUNDLE, tmp_path / "in", ignore=shutil.ignore_patterns("output"))
    (tmp_path / "in" / "output").mkdir()
    main(["export-bundle", str(tmp_path / "in"), str(tmp_path / "out")])
    assert not (tmp_path / "out" / "output").exists()


def test_a_label_app_is_a_folder_with_one_file(tmp_path, capsys):
    assert main(["label-app", str(tmp_path / "app")]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "app" / "main.py")]
    assert "from monai_coat.apps.label.app import CoatLabelApp" in (tmp_path / "app" / "main.py").read_text()
    with pytest.raises(SystemExit):
        main(["label-app", str(tmp_path / "app")])
    assert "folder must not exist" in capsys.readouterr().err


def test_models_that_are_not_there_are_named_before_anything_is_served(tmp_path, capsys):
    (tmp_path / "models").mkdir()
    with pytest.raises(SystemExit):
        main(["export-bundle", str(BUNDLE), str(tmp_path / "out"), "--models", str(tmp_path / "models")])
    assert "models must hold model_coat.pt" in capsys.readouterr().err
