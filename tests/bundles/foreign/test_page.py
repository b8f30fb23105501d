# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What ``docs/bundles.md`` says, typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from monai_coat.bundles.foreign.items import STEP_ITEMS
from monai_coat.calibration import load_calibration
from tests.bundles.foreign.zoo import ZOO

pytestmark = pytest.mark.bundle
NAME = "spleen_ct_segmentation"


@pytest.fixture(scope="module")
def page(pytestconfig: pytest.Config) -> str:
    return (pytestconfig.rootpath / "docs" / "bundles.md").read_text(encoding="utf-8")


def commands(page: str, block: int) -> list[list[str]]:
    """Commands of a block without a language, as words."""
    found = re.findall(r"^```\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return [shlex.split(line) for line in found[block].splitlines()]


def typed(words: list[str], folder: Path) -> None:
    variables = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    variables["PYTHONPATH"] = str(Path(__file__).resolve().parents[3])
    assert words[0] == "python"
    done = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_first_commands_lead_from_a_bundle_to_masks(page, zoo_bundle, tmp_path):
    (tmp_path / NAME).mkdir()
    bundle = zoo_bundle("spleen").copied(tmp_path / NAME)
    overlay, (change, folder), *steps = commands(page, 0)
    assert (change, folder) == ("cd", NAME)
    typed(overlay, tmp_path)
    for step in steps:
        typed([*step, "--dataset_dir", str(bundle.data)], bundle.folder)
    assert load_calibration(bundle.folder / "models" / "coat_calibration_crc.json").alpha == 0.1
    assert (bundle.folder / "eval" / "coat_crc" / "table.md").is_file()
    assert len(list((bundle.folder / "eval").glob("*_crc.nii.gz"))) == 2


def test_the_python_lines_write_what_the_command_writes(page, tmp_path, monkeypatch, capsys):
    bundle = ZOO["spleen"]().write_bundle(tmp_path / NAME)
    monkeypatch.chdir(tmp_path)
    (lines,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(lines, {})
    first, *others = commands(page, 0)[2:]
    printed = [shlex.split(line) for line in capsys.readouterr().out.splitlines() if line.startswith("python -m monai")]
    assert printed == [first, *others]
    assert {path.name for path in (bundle / "configs").glob("coat_*")} == {
        f"coat_{step}.json" for step in STEP_ITEMS if step != "fit"
    }
    assert "coat_fit.json" in page


def test_options_on_the_page_are_those_of_the_command(page):
    done = subprocess.run(
        [sys.executable, "-m", "monai_coat", "overlay", "--help"], capture_output=True, text=True, check=True
    )
    options = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", page)) - {"--config", "--dataset", "--help"}
    assert options
    assert all(option in done.stdout for option in options), options
