# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command ``audit``: its exit status for pipelines, and its options."""

from __future__ import annotations

import json

import pytest

from monai_coat.cli import main
from tests.predictions.test_audit import wrote


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("cli")
    for part, count, seed, faint in (("seen", 60, 0, 0), ("alike", 80, 1, 0), ("few", 2, 3, 0), ("faint", 80, 2, 0.4)):
        wrote(root / part, count, seed, faint)
    assert main(["calibrate", *places(root, "seen"), "--alpha", "0.2", "--output", str(root / "c.json")]) == 0
    lines = [f"image_{number:03},{'north' if number < 50 else 'south'}" for number in range(80)]
    (root / "images.csv").write_text("\n".join(["id,site", *lines]))
    return root


def places(root, part):
    return ["--probs", str(root / part / "maps"), "--labels", str(root / part / "masks")]


def run(made, part, output, *more):
    return main(["audit", str(made / "c.json"), *places(made, part), "--output", str(output), *map(str, more)])


@pytest.mark.parametrize(
    ("part", "status", "verdict"), [("alike", 0, "kept"), ("few", 0, "open"), ("faint", 1, "broken")]
)
def test_the_status_is_1_if_the_promise_is_broken(made, tmp_path, capsys, part, status, verdict):
    assert run(made, part, tmp_path / "out", "--json") == status
    data = json.loads(capsys.readouterr().out)
    assert data["verdict"] == verdict
    assert data == json.loads((tmp_path / "out/audit.json").read_text())


def test_files_are_named_and_the_sentence_goes_to_standard_error(made, tmp_path, capsys, caplog):
    with caplog.at_level("INFO"):
        run(made, "faint", tmp_path / "out", "--group-by", "prefix")
    names = capsys.readouterr().out.splitlines()
    assert names == [str(tmp_path / "out" / name) for name in ("audit.json", "audit.md", "audit.png")]
    assert "E[FNR] <= 0.2: broken: the mean risk of 80 images" in caplog.text


def test_a_column_of_a_table_names_groups(made, tmp_path, capsys):
    run(made, "alike", tmp_path / "out", "--table", made / "images.csv", "--key", "site", "--json")
    groups = json.loads(capsys.readouterr().out)["promises"][0]["groups"]
    assert [(group["name"], group["n"]) for group in groups[:2]] == [("north", 50), ("south", 30)]


@pytest.mark.parametrize(
    ("part", "more", "said"),
    [
        ("alike", ["--key", "site"], "table must be given with a key, got none for 'site'"),
        ("alike", ["--table", "TABLE", "--key", "city"], "key must be a column of the table, site, got 'city'"),
        ("seen", [], "images must be others than those that the scorer was calibrated on"),
        ("alike", ["--level", "2"], "level must be in (0, 1), got 2.0"),
    ],
)
def test_what_cannot_be_audited_has_the_status_2_and_writes_nothing(made, tmp_path, capsys, part, more, said):
    with pytest.raises(SystemExit) as stopped:
        run(made, part, tmp_path / "out", *(made / "images.csv" if text == "TABLE" else text for text in more))
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
