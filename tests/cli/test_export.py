# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Copies of bundles that stand alone."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest

from monai_coat.bundles import STEPS, add_models, export_bundle
from monai_coat.cli import main

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "polyp_coat"


@pytest.mark.parametrize("bundle", sorted(BUNDLE.parent.iterdir()), ids=lambda bundle: bundle.name)
def test_export_writes_one_self_contained_config_per_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bundle: Path
):
    assert main(["export-bundle", str(bundle), str(tmp_path / "out")]) == 0
    configs = tmp_path / "out" / "configs"
    assert capsys.readouterr().out.split() == [str(configs / f"{step}.json") for step in STEPS]
    # A copy has what the bundle has, but for the overlays that its configs were written from.
    names = {path.name for path in (bundle / "configs").iterdir()}
    assert {path.name for path in configs.iterdir()} == names - {"overlays"}
    for name in names - {"overlays", "metadata.json"}:
        assert (configs / name).read_bytes() == (bundle / "configs" / name).read_bytes(), name
    metadata, original = (
        json.loads((folder / "metadata.json").read_text()) for folder in (configs, bundle / "configs")
    )
    assert metadata == {key: value for key, value in original.items() if key != "base"}
    for name in ("LICENSE", "docs/README.md"):
        assert (tmp_path / "out" / name).read_bytes() == (bundle / name).read_bytes()


def test_a_copy_can_be_copied(tmp_path: Path):
    main(["export-bundle", str(BUNDLE), str(tmp_path / "one")])
    main(["export-bundle", str(tmp_path / "one"), str(tmp_path / "two")])
    for step in STEPS:
        one, two = ((tmp_path / name / "configs" / f"{step}.json").read_text() for name in ("one", "two"))
        assert one == two


def test_export_refuses_a_folder_that_exists_or_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for arguments in ([str(BUNDLE), str(tmp_path)], [str(tmp_path), str(tmp_path / "out")]):
        with pytest.raises(SystemExit) as caught:
            main(["export-bundle", *arguments])
        assert caught.value.code == 2
    message = capsys.readouterr().err
    assert "folder must not exist" in message
    assert "bundle must hold configs/overlays/" in message
    assert not (tmp_path / "out").exists()


def test_export_leaves_results_behind(tmp_path: Path):
    shutil.copytree(BUNDLE, tmp_path / "in", ignore=shutil.ignore_patterns("output"))
    (tmp_path / "in" / "output").mkdir()
    main(["export-bundle", str(tmp_path / "in"), str(tmp_path / "out")])
    assert not (tmp_path / "out" / "output").exists()


def test_models_that_are_not_there_are_named_before_anything_is_served(tmp_path, capsys):
    (tmp_path / "models").mkdir()
    with pytest.raises(SystemExit):
        main(["export-bundle", str(BUNDLE), str(tmp_path / "out"), "--models", str(tmp_path / "models")])
    assert "models must hold model_coat.pt" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()  # so that the command can be given again


@pytest.mark.parametrize("written", [0, 3, 7])
def test_a_bundle_that_could_not_be_written_can_be_written_again(tmp_path, capsys, monkeypatch, written):
    real, calls = Path.write_text, []

    def full(path, *args, **kwargs):
        calls.append(path)
        if len(calls) > written:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(SystemExit):
            main(["export-bundle", str(BUNDLE), str(tmp_path / "out")])
    assert "No space left on device" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    main(["export-bundle", str(BUNDLE), str(tmp_path / "out")])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_more_labels_than_8_bits_hold_are_not_given_to_monai_label_s_own_app(tmp_path: Path):
    """Six classes have 728 labels; viewers ask that app for 8 bits, and would be shown other classes."""
    export_bundle(BUNDLE, tmp_path / "out")
    path = tmp_path / "out" / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["network_data_format"]["outputs"]["pred"]["channel_def"] = {str(k): f"class {k}" for k in range(6)}
    path.write_text(json.dumps(metadata))
    before = (tmp_path / "out" / "configs" / "inference.json").read_bytes()
    (tmp_path / "models").mkdir()
    for name in ("model_coat.pt", "calibration_coat.json", "certain_coat.json"):
        (tmp_path / "models" / name).touch()
    with pytest.raises(ValueError, match=r"bundle must have at most five classes .*, got 6, .*label-app"):
        add_models(tmp_path / "out", tmp_path / "models", "coat")
    assert (tmp_path / "out" / "configs" / "inference.json").read_bytes() == before
    assert not list((tmp_path / "out" / "models").glob("*.pt"))
