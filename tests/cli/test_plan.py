# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command ``plan``: without any file, with a pilot of maps, and what it refuses."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch
from PIL import Image

from monai_coat.calibration import CoverageStatistic, ExpectedRisk, FalsePositiveRatio, plan_calibration
from monai_coat.cli import main
from monai_coat.files import read_json


@pytest.fixture
def maps(tmp_path):
    """Forty maps of 8 bits with their masks, and the statistic of them."""
    statistic, rng = CoverageStatistic(), np.random.default_rng(0)
    for folder in ("maps", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(40):
        probs = (255 * rng.random((12, 10)) ** 0.7).astype(np.uint8)
        mask = rng.random(probs.shape) < probs / 255
        Image.fromarray(probs).save(tmp_path / f"maps/{number:02d}.png")
        Image.fromarray((255 * mask).astype(np.uint8)).save(tmp_path / f"masks/{number:02d}.png")
        statistic.update(torch.from_numpy(probs / np.float32(255))[None, None], torch.from_numpy(mask)[None, None])
    return statistic


def test_without_any_file_it_plans_for_risks_that_are_all_or_nothing(capsys, caplog, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO):
        assert main(["plan", "--alpha", "0.2", "--within", "0.05", "--json"]) == 0
    plan = plan_calibration(ExpectedRisk(alpha=0.2), within=0.05)
    assert json.loads(capsys.readouterr().out) == plan.to_json()
    assert plan.words in caplog.text
    assert "| 50 | all or nothing |" in caplog.text
    assert not list(tmp_path.iterdir())


def test_a_pilot_of_maps_is_that_of_their_scores(maps, capsys, tmp_path):
    pilot = ["--probs", str(tmp_path / "maps"), "--labels", str(tmp_path / "masks")]
    assert main(["plan", "--sizes", "30", "--within", "0.05", *pilot, "--output", str(tmp_path / "out")]) == 0
    names = [str(tmp_path / "out" / name) for name in ("plan.json", "plan.md", "plan.png")]
    assert capsys.readouterr().out.split() == names
    expected = plan_calibration(ExpectedRisk(alpha=0.1), [30], 0.05, maps)
    written = read_json(tmp_path / "out/plan.json", "plan", "write it")
    assert written == json.loads(json.dumps(expected.to_json()))
    assert written["pilot"][0]["images"] == 40
    assert expected.words in (tmp_path / "out/plan.md").read_text()


def test_the_risk_is_the_one_that_is_named(maps, capsys, tmp_path):
    pilot = ["--probs", str(tmp_path / "maps"), "--labels", str(tmp_path / "masks")]
    assert main(["plan", "--risk", "false_positive_ratio", "--json", *pilot]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["promise"] == ExpectedRisk(FalsePositiveRatio(), 0.1).promise
    assert found["pilot"][0]["images"] == 40


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--probs", "maps"], "labels must be given for a pilot, got maps alone; give both, or neither."),
        (["--labels", "masks"], "probs or masks must be given for a pilot, got labels alone"),
        (["--alpha", "1.5"], "alpha must be in (0, 1), got 1.5"),
        (["--sizes", "5"], "n must be at least 9 for alpha=0.1, got 5"),
        (["--within", "0"], "within must be above 0 and below 1 - alpha, 0.9, got 0.0"),
        (["--probs", "maps", "--labels", "masks", "--output", "maps"], "output must be none of the inputs"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence(maps, arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["plan", *arguments])
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err
