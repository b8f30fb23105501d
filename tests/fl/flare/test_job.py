# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The job in FLARE's own simulator: three sites give what their images at one place give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nvflare", reason="NVIDIA FLARE is not installed; make flare-test has an environment with it")

from monai_coat.calibration import BinnedStatistic, calibrate, load_calibration
from monai_coat.fl.flare import calibration_job
from tests.fenced import sections_of
from tests.fl.sites import ALPHA, pooled, write_site

RUN = """
import sys
from monai_coat.fl.flare import calibration_job, simulate
workspace, alpha, *bundles = sys.argv[1:]
sites = {f"site-{number}": bundle for number, bundle in enumerate(bundles, 1)}
simulate(calibration_job(sites, float(alpha)), workspace)
"""


def simulate(folder: Path, bundles: list[Path]) -> str:
    command = [sys.executable, "-c", RUN, str(folder / "workspace"), str(ALPHA), *map(str, bundles)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_three_sites_have_the_cutoff_of_all_images_at_one_place(tmp_path):
    bundles = [write_site(tmp_path / f"bundle_{seed}", seed) for seed in (1, 2, 3)]
    output = simulate(tmp_path, bundles)
    stored = [bundle / "models" / "calibration_crc.json" for bundle in bundles]
    assert all(path.is_file() for path in stored), output
    statistic = BinnedStatistic(0.0, 1.0)
    statistic.update(*pooled())
    expected = calibrate(statistic, ALPHA)
    (served,) = (tmp_path / "workspace" / "server").rglob("calibration_crc.json")
    for path in (*stored, served):
        result = load_calibration(path)
        assert (result.cutoff, result.n, result.risk) == (expected.cutoff, (45,), expected.risk)
        assert result.identity.network


def test_a_site_with_another_network_ends_the_job_by_name(tmp_path):
    bundles = [write_site(tmp_path / f"bundle_{seed}", seed, weights=seed // 2) for seed in (1, 2)]
    output = simulate(tmp_path, bundles)
    assert "no calibration: sites must be of one pipeline, got" in output
    assert not list(tmp_path.rglob("calibration_*.json"))


def test_a_job_without_sites_or_level_is_refused():
    with pytest.raises(ValueError, match="at least one site"):
        calibration_job({}, 0.1)
    with pytest.raises(ValueError, match="alpha"):
        calibration_job({"site-1": "bundle"}, 1.5)


def test_the_page_exports_a_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(sections_of("federated.md")["On an engine"][-1], {})
    client, server = (
        next(Path("jobs").rglob(f"{site}/config/config_fed_{kind}.json")).read_text()
        for site, kind in (("app_south", "client"), ("app_server", "server"))
    )
    assert '"bundle_root": "bundles/polyp_coat"' in client
    assert "monai_coat.fl.flare.executor.CalibrationExecutor" in client
    assert "monai_coat.fl.flare.controller.CalibrationController" in server
    assert not list(Path("jobs").rglob("*.py")), "sites run their own installation"
