# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The program: help at once, errors as one sentence, files that were written on standard output."""

from __future__ import annotations

import subprocess
import sys

import pytest

from monai_coat.cli import main

COMMANDS = ("audit", "calibrate", "compare", "export-bundle", "label-app", "merge", "overlay", "plan")


def test_help_names_every_command_and_loads_no_framework():
    script = "import sys; from monai_coat.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    script += "print(sorted({'torch', 'monai', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert all(command in done.stdout for command in COMMANDS)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["merge", "none.npz"], "path must name a statistic file, got none.npz, which does not exist"),
        (["calibrate", "--probs", "none", "--labels", "none"], "probs must be a folder, got"),
        (["export-bundle", "none", "target"], "bundle must hold configs/overlays/common.json, got none"),
        (["compare", "--protocol", "none"], "protocol must be a JSON file or one of"),
    ],
)
def test_an_error_is_one_sentence_and_the_status_2(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.startswith("python -m monai_coat: ")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [["calibrate", "--probs", "a", "--labels", "b"], ["merge", "a.npz"]])
def test_a_level_that_is_no_number_is_named(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([*command, "--alpha", "10%"])
    assert end.value.code == 2
    assert "level must be a number, such as 0.1 for 10 %, got '10%'." in capsys.readouterr().err
