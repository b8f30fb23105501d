# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Outputs that are inputs: refused under every name that the file has, and nothing else is."""

from __future__ import annotations

import os

import pytest

from monai_coat.cli.main import main
from monai_coat.cli.output import check_output


@pytest.fixture
def root(tmp_path, monkeypatch):
    (tmp_path / "masks").mkdir()
    for name in ("masks/a.png", "masks/calibration.json", "a.npz", "other.json"):
        (tmp_path / name).write_text(name)
    (tmp_path / "soft").symlink_to(tmp_path / "masks/a.png")
    os.link(tmp_path / "a.npz", tmp_path / "hard")
    (tmp_path / "folder").symlink_to(tmp_path / "masks")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "output", ["masks/a.png", "a.npz", "soft", "hard", "folder/a.png", "./masks/../a.npz", "masks", "folder"]
)
@pytest.mark.parametrize("absolute", [False, True])
def test_every_name_of_an_input_is_refused(root, output, absolute):
    given = root / output if absolute else root.__class__(output)
    with pytest.raises(ValueError, match=r"output must be none of the inputs, got .*; give a name of its own"):
        check_output(given, [root / "masks", root.__class__("a.npz")])


@pytest.mark.parametrize("output", ["new.json", "other.json", "masks/new.json", "masks/calibration.json", "new/c.json"])
def test_other_files_are_written_also_again(root, output):
    check_output(root / output, [root / "masks", root / "a.npz", root / "missing"])


@pytest.mark.parametrize("option", ["--probs", "--labels", "--images"])
def test_a_comparison_is_not_written_among_its_files(root, capsys, option):
    (root / "more").mkdir()
    folders = {"--probs": "more", "--labels": "more", "--images": "more"} | {option: "masks"}
    with pytest.raises(SystemExit) as stopped:
        main(["compare", *[word for pair in folders.items() for word in pair], "--output", "masks"])
    assert stopped.value.code == 2
    assert "output must be none of the inputs, got masks" in capsys.readouterr().err


def test_a_comparison_does_not_replace_its_protocol(root, capsys):
    (root / "more").mkdir()
    (root / "more/results.json").write_text("{}")
    with pytest.raises(SystemExit):
        main(["compare", "--protocol", "more/results.json", "--output", "more"])
    assert "output must be none of the inputs, got more/results.json" in capsys.readouterr().err
