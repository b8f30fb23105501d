# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Settings that are paths are what was typed, whatever MONAI's command line makes of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from monai_coat.bundles import as_path, common_folder

NAMES = ["2024", "007", "im#1", "7#b", "a b", "case#", "deep/in#2", "./x#y", "ü#1", "(a)", "[1]", "{b}", "c,d", "1e3"]


@pytest.mark.parametrize("name", ["2024", "im", "deep/in", "/data/a", Path("x")])
def test_a_name_is_kept(name):
    assert as_path(name) == str(name)
    assert as_path(name, "b", "c") == os.path.join(name, "b", "c")


@pytest.mark.parametrize("setting", [1e3, 2.5, True, None, ["a"], {"a": 1}, b"a", ("a", "b")])
def test_what_is_no_path_is_refused(setting):
    with pytest.raises(TypeError, match=r"path must be a file or folder, got .*; write it as a string"):
        as_path(setting)


def test_colons_that_are_there_stay(tmp_path):
    assert as_path(f"{tmp_path}/a::b") == f"{tmp_path}/a#b"
    (tmp_path / "a::b").mkdir()
    assert as_path(f"{tmp_path}/a::b") == f"{tmp_path}/a::b"


def test_what_was_typed_is_found_again(monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["run", "--input_dir", "im#1", "--masks_dir=out#2", "--seed", "1e3", "--n", "2_024"]
    )
    assert as_path("im") == "im#1"
    assert as_path("out", "a") == "out#2/a"
    assert (as_path(1000.0), as_path(2024)) == ("1e3", "2_024")
    assert as_path("other") == "other"


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotes_that_python_takes_away_are_no_part_of_a_name(monkeypatch, quote):
    typed = [f"{quote}{name}{quote}" for name in ("models", "1e3", "im#1")]
    monkeypatch.setattr(sys, "argv", ["run", "--model_dir", typed[0], "--input_dir", typed[1], "--masks_dir", typed[2]])
    assert [as_path(setting) for setting in ("models", "1e3", "im::1")] == ["models", "1e3", "im#1"]


@pytest.mark.parametrize("typed", [["im#1", "im#2"], ["im", "im#1"], ["1e3", "1000.0"]])
def test_names_that_read_the_same_are_refused(monkeypatch, typed):
    monkeypatch.setattr(sys, "argv", ["run", "--input_dir", typed[0], "--masks_dir", typed[1]])
    with pytest.raises(ValueError, match=r"keeps apart, got .* which read the same; type \./"):
        as_path(1000.0 if typed[0][0] == "1" else "im")


def test_monai_s_command_line_reads_what_was_typed(tmp_path):
    """One run for all names, as a config of its own: an import of MONAI takes seconds."""
    (tmp_path / "run.json").write_text(
        '{"run": ["$print([monai_coat.bundles.as_path(x) for x in '
        f'[{", ".join(f"@p{number}" for number in range(len(NAMES)))}]])"], "imports": ["$import monai_coat"]}}'
    )
    typed = [part for number, name in enumerate(NAMES) for part in (f"--p{number}", name)]
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "run.json", *typed]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert str(NAMES) in done.stdout, done.stdout[-500:] + done.stderr[-1500:]


def test_a_folder_of_images_is_the_deepest_that_holds_them_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert common_folder([{"image": "a/1.png"}, {"image": str(tmp_path / "a" / "2.png")}]) == str(tmp_path / "a")
    assert common_folder([{"image": "a/1.png"}, {"image": ["b/1.png", "c/1.png"]}]) == str(tmp_path)
    assert common_folder([]) == ""
