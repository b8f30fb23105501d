# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Two processes train and calibrate the bundle as one does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from monai_coat.calibration import load_calibration
from monai_coat.cli import STEPS
from tests.bundles.conftest import BUNDLE, BundleRun


def torchrun(run: BundleRun, step: str, overlays: tuple[str, ...], **more: object) -> None:
    """Run a step as the documentation says, in two processes without a GPU."""
    files = ",".join(f"'configs/{name}.json'" for name in (*STEPS[step], *overlays))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "monai.bundle", "run", "--config_file", f"[{files}]"]
    for key, value in run.overrides(**more).items():
        command += [f"--{key}", str(value)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, cwd=BUNDLE, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_two_processes_calibrate_to_the_very_cutoff_of_one(calibrated_run: BundleRun, tmp_path: Path):
    name, models = "calibration_coat.json", calibrated_run.folder / "models"
    shutil.copytree(models, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(name))
    torchrun(calibrated_run, "calibrate", ("multi_gpu", "multi_gpu_apply"), method="coat", model_dir=str(tmp_path))
    assert load_calibration(tmp_path / name) == load_calibration(models / name)


def test_two_processes_train_and_save_one_predictor(calibrated_run: BundleRun, tmp_path: Path):
    torchrun(
        calibrated_run,
        "train",
        ("multi_gpu", "multi_gpu_train"),
        method="coat",
        max_epochs=2,
        val_interval=2,
        output_dir=str(tmp_path),
        trained_path=str(tmp_path / "scorer.pt"),
    )
    assert (tmp_path / "scorer.pt").is_file()
    assert len((tmp_path / "losses" / "coat.csv").read_text().splitlines()) == 3
