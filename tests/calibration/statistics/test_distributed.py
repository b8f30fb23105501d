# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Several workers: the same result as one, bit for bit, also with uneven and empty shards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch

from monai_coat.calibration import CoverageStatistic, calibrate, gather_objects, gather_statistic, load_calibration

ROOT = Path(__file__).resolve().parents[3]

WORKER = """
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from monai_coat.calibration import CoverageStatistic, calibrate, gather_objects, gather_statistic, save_calibration

folder = Path(sys.argv[1])
images = torch.load(folder / "images.pt", weights_only=True)
dist.init_process_group("gloo")
rank = dist.get_rank()
for name, shards in {"uneven": [images[:3], images[3:]], "empty": [images, []], "first": [[], images]}.items():
    statistic = CoverageStatistic()
    for scores, labels in shards[rank]:
        statistic.update(scores, labels)
    held = statistic.n
    save_calibration(calibrate(gather_statistic(statistic), 0.3), folder / f"{name}{rank}.json")
    assert statistic.n == held, "gathering must leave the worker's own part alone"
assert gather_objects(["worker"] * rank) == [[], ["worker"]]
try:
    calibrate(gather_statistic(CoverageStatistic()), 0.3)
except ValueError as error:
    assert "at least one image" in str(error)
else:
    raise AssertionError("all shards empty")
dist.destroy_process_group()
"""


def images():
    """Five images of two classes whose scores end in digits that depend on any rounding; sizes differ."""
    generator = torch.Generator().manual_seed(3)
    found = []
    for size in (7, 3, 11, 5, 9):
        scores = torch.rand(1, 2, size, size, generator=generator)
        found.append((scores, torch.rand(scores.shape, generator=generator) < 0.4))
    return found


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def launch(script, folder):
    """Two workers over gloo on this machine, stopped after two minutes."""
    address = ["--master_addr", "127.0.0.1", "--master_port", str(free_port())]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", *address, str(script), str(folder)]
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    settings = {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    if sys.platform == "linux":
        settings["GLOO_SOCKET_IFNAME"] = "lo"  # where the host's name has no address
    return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=120, check=False)


def test_two_workers_find_what_one_finds(tmp_path):
    (tmp_path / "worker.py").write_text(WORKER)
    torch.save(images(), tmp_path / "images.pt")
    done = launch(tmp_path / "worker.py", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    single = CoverageStatistic()
    for scores, labels in images():
        single.update(scores, labels)
    expected = calibrate(single, 0.3)
    assert expected.n == (5, 5)
    for name in ("uneven", "empty", "first"):
        for rank in range(2):
            assert load_calibration(tmp_path / f"{name}{rank}.json") == expected


def test_without_a_process_group_there_is_one_worker():
    assert gather_objects({"a": 1}) == [{"a": 1}]
    statistic = CoverageStatistic()
    statistic.update(*images()[0])
    gathered = gather_statistic(statistic)
    assert gathered is not statistic
    assert (gathered.n, gathered.n_empty) == ((1, 1), (0, 0))
    gathered.update(*images()[1])
    assert statistic.n == (1, 1)
    assert gather_statistic(CoverageStatistic()).n == ()
