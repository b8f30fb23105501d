# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Two processes train and calibrate the bundle as one does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from monai_coat.calibration import load_calibration
from monai_coat.cli.main import main
from tests.bundles.conftest import BUNDLE, HIPPOCAMPUS, BundleRun, VolumeRun

TRAIN, CALIBRATE, EVALUATE = (
    ("multi_gpu.json", f"multi_gpu_{step}.json") for step in ("train", "calibrate", "evaluate")
)
PRINT_THREADS = "$print('threads', *(open(name + '/comm').read() for name in glob.glob('/proc/self/task/*')))"


def torchrun(run: BundleRun, step: str, overlays: tuple[str, ...], **more: object) -> str:
    """Run a step as the documentation says, in two processes without a GPU; what it prints."""
    files = [f"configs/{step}.json", *(name if os.path.isabs(name) else f"configs/{name}" for name in overlays)]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "monai.bundle", "run", "--config_file", str(files)]
    for key, value in run.overrides(**more).items():
        command += [f"--{key}", str(value)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, cwd=run.bundle, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_two_processes_calibrate_to_the_very_cutoff_of_one(calibrated_run: BundleRun, tmp_path: Path):
    name, models = "calibration_coat.json", calibrated_run.folder / "models"
    shutil.copytree(models, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(name))
    torchrun(calibrated_run, "calibrate", CALIBRATE, method="coat", model_dir=str(tmp_path))
    assert load_calibration(tmp_path / name) == load_calibration(models / name)


def test_two_processes_train_and_save_one_predictor(calibrated_run: BundleRun, tmp_path: Path):
    threads = tmp_path / "threads.json"
    threads.write_text(json.dumps({"+finalize": ["$import glob", PRINT_THREADS]}))
    printed = torchrun(
        calibrated_run,
        "train_thresholds",
        (*TRAIN, str(threads)),
        method="coat",
        max_epochs=2,
        val_interval=2,
        output_dir=str(tmp_path),
        trained_path=str(tmp_path / "scorer.pt"),
    )
    assert (tmp_path / "scorer.pt").is_file()
    assert len((tmp_path / "losses" / "coat.csv").read_text().splitlines()) == 3
    # A thread of the process group that outlives Python's end aborts the process now and then.
    assert printed.count("threads") == 2
    assert "gloo" not in printed[printed.index("threads") :]


@pytest.mark.parametrize("bundle", [BUNDLE, HIPPOCAMPUS], ids=["polyp", "hippocampus"])
def test_training_together_ends(bundle: Path):
    """The last reference to the group must be Python's, which lets others go on while threads of the group end.

    Held by the reducer, it waited now and then forever for a thread that waited for Python.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [str(Path(__file__).with_name("ending_together.py")), str(bundle / "configs/multi_gpu_train.json")]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.stdout.count("ended") == 2


def test_two_processes_do_all_steps_on_volumes(volume_run: VolumeRun, tmp_path: Path):
    """Cutoffs of each class to the bit, and the very tables."""
    models = volume_run.folder / "models"
    shutil.copytree(models, tmp_path / "models", ignore=shutil.ignore_patterns("*_coat.*"))
    shutil.copy(models / "scorer_coat.pt", tmp_path / "models")
    here = {"model_dir": str(tmp_path / "models"), "output_dir": str(tmp_path / "output"), "method": "coat"}
    for name in ("calibration_coat.json", "certain_coat.json"):
        assert not (tmp_path / "models" / name).exists()
    torchrun(volume_run, "calibrate", CALIBRATE, **here)
    for name in ("calibration_coat.json", "certain_coat.json"):
        assert load_calibration(tmp_path / "models" / name) == load_calibration(models / name)
    methods = {"methods": ["crc", "coat"]}
    torchrun(volume_run, "evaluate", EVALUATE, **here, **methods)
    volume_run.run("evaluate", **methods, output_dir=str(tmp_path / "single"))
    for name in ("anterior", "posterior", "worst_class"):
        for file in ("table.csv", "table.md", *(["certain.csv"] if name != "worst_class" else [])):
            one, two = (tmp_path / kind / "evaluation" / name / file for kind in ("single", "output"))
            assert one.read_text() == two.read_text()
    new = {**here, "trained_path": str(tmp_path / "scorer.pt"), "max_epochs": 2, "val_interval": 2}
    torchrun(volume_run, "train_thresholds", TRAIN, **new)
    assert (tmp_path / "scorer.pt").is_file()


def test_three_shards_collected_by_three_processes_are_calibrated_as_one(volume_run: VolumeRun, tmp_path: Path):
    """Once with sums on a grid, and once with scores, which give the very cutoff of the step calibrate."""
    models = volume_run.folder / "models"
    # Sums must be of ten images at least, whoever sends them, so those are collected of all volumes.
    for kind, images in (
        ("BinnedStatistic", "@datalist"),
        ("CoverageStatistic", "@partition.part('calibration')"),
    ):
        running = []
        for number in (0, 1, 2, None):
            samples = f"${images}" + ("" if number is None else f"[{number}::3]")
            here = {"samples": samples, "method": "coat", "model_dir": str(tmp_path / f"models{number}"), "smallest": 1}
            here |= {"statistic": f"{{'_target_':'monai_coat.calibration.{kind}'}}"}
            here |= {"statistic_path": str(tmp_path / f"{kind}{number}.npz")}
            shutil.copytree(models, here["model_dir"], dirs_exist_ok=True)
            command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/collect.json"]
            for key, value in volume_run.overrides(**here).items():
                command += [f"--{key}", str(value)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
            running.append(subprocess.Popen(command, cwd=volume_run.bundle, env=environment, stdout=subprocess.DEVNULL))
        assert [process.wait(timeout=600) for process in running] == [0] * 4
        three, one = tmp_path / "three.json", tmp_path / "one.json"
        shards = [str(tmp_path / f"{kind}{number}.npz") for number in range(3)]
        assert main(["merge", *shards, "--alpha", "0.2", "--output", str(three)]) == 0
        assert main(["merge", str(tmp_path / f"{kind}None.npz"), "--alpha", "0.2", "--output", str(one)]) == 0
        assert load_calibration(three).cutoff == load_calibration(one).cutoff
        assert load_calibration(three).n == load_calibration(one).n
    assert load_calibration(three).cutoff == load_calibration(models / "calibration_coat.json").cutoff
