# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What all tests share: fixed seeds, no time limits, a tiny network, and processes that work together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch import nn

from monai_coat.networks import AdaptiveSegmenter
from monai_coat.scorers import MarginScorer, ThresholdPredictor

# How long an example takes says how busy the machine is, and nothing about what is tested.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# Fixtures that train a whole bundle: with several workers, tests that share one go to the same of them.
SHARED_RUNS = {"data_run": "images", "calibrated_run": "images", "volume_run": "volumes"}
SHARED_RUNS |= {"touching_run": "classes", "nested_run": "classes", "zoo_bundle": "zoo"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            groups = [SHARED_RUNS[name] for name in getattr(item, "fixturenames", ()) if name in SHARED_RUNS]
            if groups:
                item.add_marker(pytest.mark.xdist_group(groups[0]))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Networks this small only wait for threads."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def make_network() -> Callable[..., AdaptiveSegmenter]:
    """Make a segmenter with batch norm, and COAT's scorer on it; calibrated if a cutoff is given."""

    def make(
        num_classes: int = 1,
        spatial_dims: int = 2,
        activation: str = "sigmoid",
        scorer: nn.Module | None = None,
        cutoff: tuple[float, ...] = (),
    ) -> AdaptiveSegmenter:
        conv, norm = (nn.Conv2d, nn.BatchNorm2d) if spatial_dims == 2 else (nn.Conv3d, nn.BatchNorm3d)
        outputs = num_classes + (activation == "softmax")
        segmenter = nn.Sequential(conv(3, 4, 3, padding=1), norm(4), nn.ReLU(), conv(4, outputs, 1))
        predictor = ThresholdPredictor(spatial_dims, 3, num_classes, input_size=32 if spatial_dims == 2 else 16)
        network = AdaptiveSegmenter(segmenter, scorer or MarginScorer(predictor), num_classes, activation).eval()
        if cutoff:
            network.set_calibration(cutoff, alpha=0.1, n=(9,) * num_classes)
        return network

    return make


@pytest.fixture
def run_workers(tmp_path: Path) -> Callable[[str], list[Any]]:
    """Run a script beside the test in two processes that form a group; give what each left in ``<rank>.json``."""

    def run(script: str, limit: float = 120.0) -> list[Any]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
        command = [*launcher, "--master_addr=127.0.0.1", f"--master_port={port}", script, str(tmp_path)]
        process = subprocess.Popen(
            command,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(f"{script} did not end in {limit} s: a worker waits for another.")
        assert process.returncode == 0, output
        return [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]

    return run
