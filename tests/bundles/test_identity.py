# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A calibration belongs to a pipeline: another one is refused by name, and the same one is known wherever it runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from monai_coat.bundles import add_models, export_bundle
from monai_coat.calibration import identity_of, load_calibration
from monai_coat.cli.main import main
from monai_coat.networks import save_weights
from tests.bundles.conftest import BundleRun, VolumeRun

REFUSED = "calibration is of another pipeline: "


def refused(run: BundleRun, step: str, method: str = "coat", **more: object) -> str:
    """What a step says, at the bottom of all errors, about a calibration that it does not take."""
    extra = {"methods": [method]} if step == "evaluate" else {"method": method}
    with pytest.raises(RuntimeError) as caught:
        run.run(step, **{**extra, **more})
    error: BaseException = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    assert isinstance(error, ValueError)
    return str(error)


def models_in(run: BundleRun, folder: Path) -> Path:
    """A copy of the calibrated models."""
    return Path(shutil.copytree(run.folder / "models", folder, ignore=shutil.ignore_patterns("retrained")))


@pytest.mark.parametrize("step", ["inference", "evaluate"])
@pytest.mark.parametrize(
    ("override", "method", "named"),
    [
        ({"image_size": [32, 32]}, "coat", "preprocessing, restore;"),
        ({"preprocessing#transforms#1#b_min": 0}, "coat", "preprocessing, restore;"),
        ({"preprocessing#transforms#2#mode": "nearest"}, "crc", "preprocessing, restore;"),
        ({"restore#nearest_interp": True}, "coat", "restore;"),
        ({"inferer#inferer": {"_target_": "SlidingWindowInferer", "roi_size": [32, 32]}}, "coat", "inferer;"),
        ({"networks#crc#activation": "identity"}, "crc", 'activation ("sigmoid" against "identity");'),
        ({"networks#coat#scorer#space": "logit"}, "coat", 'scorer.space ("probability" against "logit");'),
    ],
)
def test_another_pipeline_is_refused_and_named(
    calibrated_run: BundleRun, step: str, override: dict[str, object], method: str, named: str
):
    assert refused(calibrated_run, step, method, **override).startswith(REFUSED + named)


@pytest.mark.parametrize("step", ["inference", "evaluate"])
def test_another_temperature_is_refused_and_named(calibrated_run: BundleRun, step: str):
    message = refused(calibrated_run, step, logit_temperature=2)
    assert message.startswith("logit_temperature must be 8, which model_coat.pt was saved with, got 2;")


@pytest.mark.parametrize("step", ["inference", "evaluate"])
@pytest.mark.parametrize(
    ("override", "named"),
    [
        ({"roi_size": [16, 16, 8]}, "inferer;"),
        ({"window#overlap": 0.25}, "inferer;"),
        ({"window#mode": "constant"}, "inferer;"),
        ({"preprocessing#transforms#2#pixdim": [1, 1, 2]}, "preprocessing, restore;"),
    ],
)
def test_another_window_or_spacing_of_volumes_is_refused_and_named(
    volume_run: VolumeRun, step: str, override: dict[str, object], named: str
):
    assert refused(volume_run, step, **override).startswith(REFUSED + named)


def test_what_changes_no_number_is_taken(volume_run: VolumeRun, tmp_path: Path):
    """Devices, sizes of batches of windows, and the probabilities that inference writes beside."""
    unlike = {"window#sw_batch_size": 1, "window#sw_device": "cpu", "device": "$torch.device('cpu', 0)"}
    volume_run.run("inference", method="coat", masks_dir=str(tmp_path), **unlike)
    assert len(list(tmp_path.iterdir())) == 3 * 60


@pytest.mark.parametrize("step", ["inference", "evaluate"])
@pytest.mark.parametrize("name", ["calibration_coat.json", "certain_coat.json"])
def test_an_edited_calibration_is_refused(volume_run: VolumeRun, tmp_path: Path, step: str, name: str):
    models = models_in(volume_run, tmp_path / "models")
    content = json.loads((models / name).read_text())
    (models / name).write_text(json.dumps({**content, "cutoff": [0.0, 0.0]}))
    assert f"{name} was changed after it was written" in refused(volume_run, step, model_dir=str(models))


@pytest.mark.parametrize("step", ["inference", "evaluate"])
def test_a_scorer_that_was_trained_on_is_refused_and_named(calibrated_run: BundleRun, tmp_path: Path, step: str):
    models = models_in(calibrated_run, tmp_path / "models")
    workflow = calibrated_run.workflow("inference", method="coat")
    workflow.initialize()
    network = workflow.parser.get_parsed_content("network")
    optimizer = torch.optim.SGD(network.scorer.parameters(), lr=1e-3)
    network(torch.rand(1, 3, 64, 64)).mean().backward()
    optimizer.step()
    save_weights(network, models / "model_coat.pt")
    assert refused(calibrated_run, step, model_dir=str(models)).startswith(REFUSED + "scorer weights;")


@pytest.mark.parametrize("kind", ["base", "copy"])
def test_a_bundle_and_its_copy_take_each_other_s_calibrations(calibrated_run: BundleRun, tmp_path: Path, kind: str):
    export_bundle(calibrated_run.bundle, tmp_path / "copy")
    copy = replace(calibrated_run, bundle=tmp_path / "copy")
    one, other = (calibrated_run, copy) if kind == "base" else (copy, calibrated_run)
    models = models_in(calibrated_run, tmp_path / "models")
    for name in ("calibration_coat.json", "certain_coat.json", "model_coat.pt"):
        (models / name).unlink()
    one.run("calibrate", method="coat", model_dir=str(models))
    for name in ("calibration_coat.json", "certain_coat.json"):
        assert load_calibration(models / name) == load_calibration(calibrated_run.folder / "models" / name)
    other.run("evaluate", methods=["coat"], model_dir=str(models), results_dir=str(tmp_path / "results"))
    assert "| coat |" in (tmp_path / "results" / "table.md").read_text()


@pytest.mark.parametrize("fixture", ["calibrated_run", "volume_run"])
def test_a_copy_for_monai_label_has_the_pipeline_that_was_calibrated(
    request: pytest.FixtureRequest, tmp_path: Path, fixture: str
):
    """It could not compare them itself: with other settings than were calibrated, none is made."""
    run: BundleRun = request.getfixturevalue(fixture)
    export_bundle(run.bundle, tmp_path / "copy")
    models, size = run.folder / "models", {key: value for key, value in run.overrides().items() if "_size" in key}
    before = (tmp_path / "copy" / "configs" / "inference.json").read_bytes()
    named = "preprocessing, restore" if fixture == "calibrated_run" else "inferer"
    with pytest.raises(ValueError, match=REFUSED + named):
        add_models(tmp_path / "copy", models, "coat")
    assert (tmp_path / "copy" / "configs" / "inference.json").read_bytes() == before
    add_models(tmp_path / "copy", models, "coat", size)
    parser = ConfigParser()
    parser.read_config(tmp_path / "copy" / "configs" / "inference.json")
    identity = identity_of(None, parser.get_parsed_content("pipeline"))
    assert identity.pipeline == load_calibration(models / "calibration_coat.json").identity.pipeline


def test_no_copy_for_monai_label_is_made_of_a_network_that_changed(calibrated_run: BundleRun, tmp_path: Path):
    export_bundle(calibrated_run.bundle, tmp_path / "copy")
    models = models_in(calibrated_run, tmp_path / "models")
    shutil.copy(models / "model_at.pt", models / "model_coat.pt")
    with pytest.raises(ValueError, match=REFUSED + "scorer weights;"):
        add_models(tmp_path / "copy", models, "coat", {"image_size": [64, 64]})


def test_another_process_on_another_device_makes_the_same_calibration(calibrated_run: BundleRun, tmp_path: Path):
    models = models_in(calibrated_run, tmp_path / "models")
    settings = calibrated_run.overrides(method="coat", model_dir=str(models), device="$torch.device('cpu', 0)")
    for name in ("calibration_coat.json", "certain_coat.json", "model_coat.pt"):
        (models / name).unlink()
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/calibrate.json"]
    command += [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    # Python's hashes of text differ from process to process; the identity must not.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "PYTHONHASHSEED": "7"}
    subprocess.run(command, cwd=calibrated_run.bundle, env=environment, check=True, capture_output=True, timeout=300)
    for name in ("calibration_coat.json", "certain_coat.json"):
        assert load_calibration(models / name) == load_calibration(calibrated_run.folder / "models" / name)


def test_statistics_of_another_image_size_are_not_merged(
    calibrated_run: BundleRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for site, size, places in (("north", 64, "0::3"), ("south", 64, "1::3"), ("west", 32, "2::3")):
        calibrated_run.run(
            "collect",
            method="coat",
            image_size=[size, size],
            samples=f"$@datalist[{places}]",
            statistic_path=str(tmp_path / f"{site}.npz"),
        )
    north, south, west = (str(tmp_path / f"{site}.npz") for site in ("north", "south", "west"))
    output = ["--alpha", "0.2", "--output", str(tmp_path / "merged.json")]
    with pytest.raises(SystemExit):
        main(["merge", north, west, *output])
    assert "paths must be of one pipeline, got preprocessing, restore in" in capsys.readouterr().err
    assert not (tmp_path / "merged.json").exists()
    assert main(["merge", north, south, *output]) == 0
    # What was merged belongs to the pipeline that it was collected with: another one does not take it.
    models = models_in(calibrated_run, tmp_path / "models")
    shutil.copy(tmp_path / "merged.json", models / "calibration_coat.json")
    message = refused(calibrated_run, "inference", image_size=[32, 32], model_dir=str(models))
    assert message.startswith(REFUSED + "preprocessing, restore;")
    calibrated_run.run("inference", method="coat", model_dir=str(models), masks_dir=str(tmp_path / "masks"))
    assert len(list((tmp_path / "masks").iterdir())) == 80
