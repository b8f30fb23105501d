# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The job in FLARE's own simulator: three sites give what their images at one place give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nvflare", reason="NVIDIA FLARE is not installed; make flare-test has an environment with it")

from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel

from monai_coat.calibration import BinnedStatistic, calibrate, load_calibration
from monai_coat.fl import CalibrationStats
from monai_coat.fl.flare import CalibrationController, CalibrationExecutor, calibration_job
from monai_coat.fl.flare.tasks import COLLECT
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
    (served,) = (tmp_path / "workspace" / "server").rglob("calibration.json")
    for path in (*stored, served):
        result = load_calibration(path)
        assert (result.cutoff, result.n, result.risk) == (expected.cutoff, (45,), expected.risk)
        assert result.identity.network


class Server(CalibrationController):
    """The controller, with sites that have answered."""

    def __init__(self, folder: Path, answers: dict[str, dict[str, object]], asked: tuple[str, ...] = ()) -> None:
        super().__init__(ALPHA)
        self.folder, self.asked, self.said, self.sent = folder, list(asked or answers), "", []
        self.answers = [FLModel(metrics=metrics, meta={"client_name": site}) for site, metrics in answers.items()]

    def send_model_and_wait(self, task, data):
        self.sent.append(task)
        return self.answers

    def sample_clients(self):
        return self.asked

    def panic(self, reason):
        self.said = reason

    def _folder(self):
        return self.folder


def collected(folder: Path, **changes: object) -> dict[str, object]:
    site = CalibrationStats(str(write_site(folder, **changes)))
    site.initialize()
    return site.get_data_stats().statistics


def test_what_does_not_belong_together_ends_the_job_and_no_site_gets_a_calibration(tmp_path):
    north, other = collected(tmp_path / "north", seed=1), collected(tmp_path / "other", seed=2, weights=1)
    cases = {
        "no calibration: sites must be of one pipeline": Server(tmp_path, {"north": north, "south": other}),
        "no calibration: content must be the bytes of a statistic": Server(tmp_path, {"north": north, "south": {}}),
        "every site must send a statistic, got north of north, south": Server(
            tmp_path, {"north": north}, ("north", "south")
        ),
    }
    for reason, server in cases.items():
        server.run()
        assert server.said.startswith(reason)
        assert server.sent == [COLLECT]
    assert not list(tmp_path.glob("*.json"))


def test_a_site_that_fails_says_so(tmp_path):
    executor, task = CalibrationExecutor(str(tmp_path / "nowhere")), Shareable()
    context = FLContext()
    assert executor.execute(COLLECT, task, context, Signal()).get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert executor.execute("train", task, context, Signal()).get_return_code() == ReturnCode.TASK_UNKNOWN


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
