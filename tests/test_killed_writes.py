# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Killed before, inside and after its writes, everything ends as if nobody had disturbed it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

KILLS = 20


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX")
@pytest.mark.parametrize("task", ["training", "handler", "command", "comparison"])
def test_work_that_was_killed_in_a_write_ends_as_undisturbed_work(tmp_path: Path, task: str):
    command = [sys.executable, "-W", "ignore", "-m", "tests.killed_writes", task, str(tmp_path), str(KILLS)]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = json.loads(done.stdout.splitlines()[-1])
    where = Counter(row["moment"].partition(":")[0] for row in rows)
    assert len(rows) == KILLS
    assert all(row["killed"] and row["allowed"] and row["ended"] and row["equal"] for row in rows), rows
    assert all(row["temporaries"] == [] for row in rows), rows
    assert sum(row["left"] for row in rows) > 0  # else no kill has hit a write
    assert min(where["before"], where["inside"], where["after"]) > 0, where
