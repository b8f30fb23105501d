# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sections and their page: numbers are kept until something changes, and generated data does not overwrite the page."""

from __future__ import annotations

import pytest

import benchmarks.validity.__main__ as command
from benchmarks.validity import brackets, certain, running
from benchmarks.validity.inputs import Inputs, Scale, halves
from benchmarks.validity.sections import Section, mean_and_error, paragraphs, progress, sources, table


def test_numbers_are_kept_until_a_setting_changes(tmp_path):
    calls = []

    def run(inputs):
        calls.append(inputs.scale.draws)
        return {"draws": inputs.scale.draws}

    section = Section("title", run, lambda content: [], lambda content: "")
    run.__module__ = brackets.__name__
    for draws in (5, 5, 6):
        assert section.content("it", Inputs(None, tmp_path, Scale(draws=draws)))["draws"] == draws
    assert calls == [5, 6]


def test_the_page_of_generated_data_stays_with_the_results(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("COAT_DATA_DIR", raising=False)
    monkeypatch.setattr(running, "SECTIONS", {"brackets": brackets.SECTION})
    monkeypatch.setattr(command, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(command, "draw", lambda contents, path: None)
    command.main(["--output", str(tmp_path / "out")])
    text = (tmp_path / "out" / "validity.md").read_text()
    assert "**on generated maps and volumes**" in text
    assert "4 of 4 wrong second passes are refused; the right one is exact to the bit." in text
    assert not (tmp_path / "docs").exists()
    assert "brackets: done in" in capsys.readouterr().out


def test_real_data_on_a_small_scale_does_not_overwrite_the_page(tmp_path, monkeypatch):
    monkeypatch.setenv("COAT_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(running, "SECTIONS", {"brackets": brackets.SECTION})
    monkeypatch.setattr(command, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(command, "draw", lambda contents, path: None)
    command.main(["--output", str(tmp_path / "out"), "--quick"])
    assert not (tmp_path / "docs").exists()
    command.main(["--output", str(tmp_path / "out")])
    assert (tmp_path / "docs" / "validity.md").is_file()


def test_sections_at_a_time_are_those_one_after_another(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "SECTIONS", {"certain": certain.SECTION, "brackets": brackets.SECTION})
    found = {}
    for processes in (1, 2):
        inputs = Inputs(None, tmp_path / str(processes), Scale(draws=4, splits=1, maps=40))
        found[processes] = running.all_contents(inputs, processes)
        assert list(found[processes]) == ["certain", "brackets"]
    for name in found[1]:
        assert found[1][name] | {"seconds": 0} == found[2][name] | {"seconds": 0}


def test_certain_carries_the_words_of_the_result(tmp_path):
    content = certain.run(Inputs(None, tmp_path, Scale(splits=1, maps=40)))
    assert content["words"]["0.1"].startswith("E[min(1, false positives / foreground)] <= 0.1")
    for row in content["rows"].values():
        assert all(capped <= uncapped for capped, uncapped in zip(row["capped"], row["uncapped"], strict=True))
    lines = "\n".join(certain.lines(content))
    assert lines.count("E[min(1, false positives / foreground)] <=") == 3


def test_halves_are_disjoint_and_the_same_again():
    calibration, test = halves(11, 3)
    assert sorted(calibration + test) == list(range(11))
    assert halves(11, 3) == (calibration, test)
    assert halves(11, 4) != (calibration, test)


def test_progress_says_how_long_the_rest_takes(monkeypatch, capsys):
    clock = iter([0.0, 30.0, 60.0])
    monkeypatch.setattr("benchmarks.validity.sections.time.monotonic", lambda: next(clock))
    assert list(progress("it", [1, 2])) == [1, 2]
    assert capsys.readouterr().out == "it: 1 of 2, about 30 s left\n"


def test_tables_and_paragraphs_are_markdown():
    assert table(["a", "b"], [["1", "2"]]) == ["| a | b |", "|---|---|", "| 1 | 2 |", ""]
    assert paragraphs("one\ntwo:\n\n- three\n- four") == ["one two:", "", "- three", "- four", ""]


def test_the_error_of_a_mean():
    # Values 1, 2, 3: deviation 1, over the root of 3.
    assert mean_and_error([1, 2, 3]) == (2.0, pytest.approx(3**-0.5))


def test_numbers_depend_on_the_modules_that_make_them():
    from pathlib import Path

    from benchmarks.validity import resolution_cost

    names = {path.stem for path in sources(Path(resolution_cost.__file__))}
    assert {"resolution_cost", "statistic_files", "attack", "inputs", "sections"} <= names
    assert "pipelines" not in names
