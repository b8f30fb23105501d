# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A training run of the bundle that the system kills goes on where it was when its command is given again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from monai_coat.handlers import load_losses
from tests.bundles.conftest import BUNDLE, BundleRun

EPOCHS = 12


def start(run: BundleRun, folder: Path) -> subprocess.Popen[str]:
    """Give the documented command of the segmenter's training."""
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/train.json"]
    settings = run.overrides(max_epochs=EPOCHS, val_interval=5, output_dir=str(folder), model_dir=str(folder))
    command += [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=BUNDLE, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def test_a_killed_run_ends_with_all_of_its_epochs(data_run: BundleRun, tmp_path: Path):
    losses = tmp_path / "losses" / "segmenter.csv"
    with start(data_run, tmp_path) as process:
        limit = time.monotonic() + 120
        while len(load_losses(losses)) < 3:
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < limit, "no third epoch in 120 s"
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    before = load_losses(losses)
    assert 3 <= len(before) < EPOCHS
    assert not (tmp_path / "segmenter.pt").exists()
    with start(data_run, tmp_path) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output[-3000:]
    after = load_losses(losses)
    assert len(after) == EPOCHS
    assert after[:2] == before[:2]  # what was done is not done again
    assert "resuming after epoch" in output
    assert (tmp_path / "segmenter.pt").is_file()
