# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Cells: what they hold, and that no finished one is run again, whatever happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from monai_coat.benchmark import cells, read_cells, run_benchmark
from monai_coat.benchmark.bench import Bench


@pytest.fixture
def results(tiny, tmp_path):
    return run_benchmark(tiny(), tmp_path / "out")


def test_a_cell_holds_its_splits_and_what_made_them(results):
    for result in results:
        assert len(result["splits"]) == 4
        assert {"torch", "monai", "monai_coat", "numpy", "python"} == set(result["versions"])
        assert result["n_pool"][0] == result["splits"][0]["n_calibration"] + result["splits"][0]["n_test"]
        assert len(result["coverage_of_first_split"]) == result["splits"][0]["n_test"]
    hashes = [[split["hash"] for split in result["splits"]] for result in results]
    assert hashes[0] == hashes[1] == hashes[2]
    assert len(set(hashes[0])) == 4


def test_the_ends_of_the_scale_are_where_they_must_be(results):
    methods = {result["method"]: result["splits"] for result in results}
    assert all(
        split["coverage"] == 1 and split["coverage_gap"] == pytest.approx(0.2) for split in methods["everything"]
    )
    assert all(split["coverage"] >= 0.8 and split["shortfall"] == 0 for split in methods["oracle"])
    assert all(split["coverage_gap"] < 0.02 for split in methods["oracle"])


def test_over_all_splits_of_a_pool_the_promise_is_a_theorem(tiny, tmp_path):
    """Random splits of a fixed pool are exchangeable: the mean over many of them meets the target."""
    result = run_benchmark(tiny(splits=400, methods={"CRC": {"fit": "crc"}}, default="CRC"), tmp_path / "out")[0]
    coverage = np.array([split["coverage"] for split in result["splits"]])
    error = coverage.std(ddof=1) / 20
    n = result["splits"][0]["n_calibration"]
    assert 0.8 - 3 * error <= coverage.mean() <= 0.8 + 2 / (n + 1) + 3 * error


def test_finished_cells_are_not_run_again(tiny, tmp_path, monkeypatch, results):
    monkeypatch.setattr(cells, "_run", lambda *_: pytest.fail("a finished cell was run again"))
    assert run_benchmark(tiny(), tmp_path / "out") == results
    assert read_cells(tiny(), tmp_path / "out") == results


def test_a_changed_method_is_run_again_and_the_others_are_not(tiny, tmp_path, monkeypatch, results):
    ran, run = [], cells._run
    monkeypatch.setattr(cells, "_run", lambda cell, bench: ran.append(cell.method) or run(cell, bench))
    methods = {**tiny().methods, "MEG": {"fit": "meg", "members": 3, "width": 8}}
    run_benchmark(tiny(methods=methods), tmp_path / "out")
    assert ran == ["MEG"]


def test_cells_of_another_version_are_run_again(tiny, tmp_path, monkeypatch, results):
    assert read_cells(tiny(), tmp_path / "out") == results
    monkeypatch.setattr(cells.monai_coat, "__version__", "99.0.0")
    assert read_cells(tiny(), tmp_path / "out") == []


def test_a_half_written_cell_is_named(tiny, tmp_path, results):
    path = next((tmp_path / "out" / "cells").glob("*/CRC.json"))
    path.write_text('{"digest":')
    with pytest.raises(ValueError, match=r"a finished cell must be a JSON file.*remove it to have it run again"):
        run_benchmark(tiny(), tmp_path / "out")


def test_a_killed_benchmark_goes_on_where_it_was(tiny, tmp_path):
    tiny()
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "monai_coat",
        "benchmark",
        "--protocol",
        str(tmp_path / "tiny.json"),
    ]
    command += ["--output", str(tmp_path / "out")]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    first = tmp_path / "out" / "cells" / "generated-layer-0.2" / "CRC.json"
    deadline = time.monotonic() + 120
    while not first.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").rglob("*.json")}
    assert first in before
    run_benchmark(tiny(), tmp_path / "out")
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").rglob("*.json")}
    assert len(after) == 4
    assert all(after[path] == stamp for path, stamp in before.items())
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_halves_of_the_base_images_are_predicted_by_segmenters_that_have_not_seen_them(tiny, tmp_path):
    bench = Bench(tiny(), tmp_path / "out")
    plain, crossed = bench.rounds("generated", "layer")[0], bench.rounds("generated", "layer", True)[0]
    assert plain.pool.ids == crossed.pool.ids
    assert set(plain.train.ids) < set(crossed.train.ids)
    assert not set(crossed.train.ids) & set(crossed.pool.ids)
    assert len(set(crossed.train.ids)) == len(crossed.train.ids)


def test_a_study_never_looks_beyond_the_images_that_thresholds_are_learned_from(tiny, tmp_path):
    allowed = set(Bench(tiny(), tmp_path / "out").rounds("generated", "layer")[0].train.ids)
    rounds = Bench(tiny(study=True, rounds=3), tmp_path / "out").rounds("generated", "layer")
    pools = [set(each.pool.ids) for each in rounds]
    assert set().union(*pools) == allowed
    assert sum(map(len, pools)) == len(allowed)
    assert all(set(each.train.ids) == allowed - pool for each, pool in zip(rounds, pools, strict=True))


def test_cells_are_plain_json(tmp_path, tiny, results):
    for path in (tmp_path / "out" / "cells").rglob("*.json"):
        assert json.loads(path.read_text())["digest"]
