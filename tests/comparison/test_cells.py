# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Cells: that each knows everything that its result depends on."""

from __future__ import annotations

import importlib
import json
import os
import sys

import pytest

from monai_coat.comparison import ComparisonData, protocol_of_folder, read_cells, run_comparison
from monai_coat.comparison.cells import cells_of, finished_result


@pytest.fixture
def results(tiny, tmp_path):
    return run_comparison(ComparisonData(tiny(), tmp_path / "out"))


def finished(protocol, folder):
    """Methods whose cells are done, to somebody who comes anew."""
    return [result["method"] for result in read_cells(ComparisonData(protocol, folder))]


def test_finished_cells_are_read_in_the_order_of_the_protocol(tiny, tmp_path, results):
    assert finished(tiny(), tmp_path / "out") == ["CRC", "MEG", "predict-all", "oracle"]
    assert read_cells(ComparisonData(tiny(), tmp_path / "out")) == results


def test_cells_are_plain_json(tmp_path, tiny, results):
    paths = list((tmp_path / "out" / "cells").rglob("*.json"))
    assert len(paths) == 4
    for path in paths:
        assert json.loads(path.read_text())["digest"]


def test_cells_of_another_version_are_not_finished(tiny, tmp_path, monkeypatch, results):
    monkeypatch.setattr(importlib.import_module("monai_coat.comparison.cells").monai_coat, "__version__", "99.0.0")
    assert finished(tiny(), tmp_path / "out") == []


@pytest.mark.parametrize(
    "change",
    [
        {"splits": 5},
        {"seed": 1},
        {"image_size": [24, 24]},
        {"batch_size": 4},
        {"learning_rate": 0.001},
        {"fractions": [0.4, 0.2, 0.2, 0.2]},
        {"study": True},
        {"datasets": {"generated": {"generate": {"count": 100, "spatial_size": [32, 32]}, "epochs": 2}}},
        {"datasets": {"generated": {"generate": {"count": 101, "spatial_size": [32, 32]}, "epochs": 1}}},
        {"networks": {"layer": {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 1, "kernel_size": 3}}},
    ],
)
def test_cells_of_other_settings_are_not_finished(tiny, tmp_path, results, change):
    assert finished(tiny(**change), tmp_path / "out") == []


def test_another_order_another_level_and_another_default_leave_cells_finished(tiny, tmp_path, results):
    methods = dict(reversed(list(tiny().methods.items())))
    again = tiny(methods=methods, alphas=[0.3, 0.2], default="CRC", name="other")
    assert finished(again, tmp_path / "out") == ["oracle", "predict-all", "MEG", "CRC"]


def test_a_method_of_one_s_own_is_run_again_when_its_code_changes(tiny, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    source = "from monai_coat.scorers import METHODS\n\nfit = METHODS['crc'].fit\n"
    (tmp_path / "own_method.py").write_text(source)
    methods = {"CRC": {"fit": "crc"}, "own": {"fit": "own_method.fit"}}
    protocol = tiny(methods=methods, default="own")
    first = ComparisonData(protocol, tmp_path / "out")
    run_comparison(first)
    (tmp_path / "own_method.py").write_text(source + "# Changed.\n")
    assert finished(protocol, tmp_path / "out") == ["CRC"]
    # What is running has the code that it began with.
    assert len(read_cells(first)) == 2


def test_names_of_methods_make_names_of_files(tiny, tmp_path):
    protocol = tiny(methods={"CRC": {"fit": "crc"}, "a/b, c+": {"fit": "crc"}}, default="CRC")
    cell = cells_of(protocol)[1]
    assert cell.path(tmp_path) == tmp_path / "cells" / "generated-layer-0.2" / "a_b__c+.json"


def test_a_half_written_cell_is_named(tiny, tmp_path, results):
    data = ComparisonData(tiny(), tmp_path / "out")
    cell = cells_of(data.protocol)[0]
    cell.path(data.folder).write_text('{"digest":')
    with pytest.raises(ValueError, match=r"a finished cell must be a JSON file.*remove it to have it run again"):
        finished_result(cell, data)


@pytest.fixture
def own_maps(write_maps, tiny):
    """Somebody's folders, and the protocol that compares methods on them."""
    folder = write_maps(40)
    protocol = tiny(methods={"CRC": {"fit": "crc"}}, default="CRC", fractions=[0, 0.5, 0.25, 0.25])
    return folder, protocol_of_folder(protocol, folder / "maps", folder / "masks", None)


def touch(path):
    os.utime(path, ns=(1, 1))


def edit(path):
    """Rewrite a file with another content of the same length, and give it back its time."""
    status = path.stat()
    content = path.read_bytes()
    # The last bytes of a PNG are a chunk that ends it; what is changed here is never decoded.
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "stays_done"),
    [
        (lambda folder: touch(folder / "masks" / "7.png"), True),
        (lambda folder: touch(folder / "maps" / "7.png"), True),
        (lambda folder: edit(folder / "masks" / "7.png"), False),
        (lambda folder: edit(folder / "maps" / "7.png"), False),
        (lambda folder: (folder / "masks" / "7.png").write_bytes((folder / "masks" / "8.png").read_bytes()), False),
        (lambda folder: (folder / "maps" / "7.png").unlink(), False),
        (lambda folder: (folder / "masks" / "unused.png").write_bytes(b""), True),
    ],
    ids=[
        "mask touched",
        "map touched",
        "mask edited",
        "map edited",
        "mask replaced",
        "map removed",
        "mask without map",
    ],
)
def test_cells_know_the_content_of_their_files(own_maps, tmp_path, change, stays_done):
    folder, protocol = own_maps
    run_comparison(ComparisonData(protocol, tmp_path / "out"))
    assert finished(protocol, tmp_path / "out") == ["CRC"]
    change(folder)
    assert finished(protocol, tmp_path / "out") == (["CRC"] if stays_done else [])


def test_cells_know_which_files_there_are(own_maps, write_maps, tmp_path):
    folder, protocol = own_maps
    run_comparison(ComparisonData(protocol, tmp_path / "out"))
    write_maps(41)
    assert len(list((folder / "maps").iterdir())) == 41
    assert finished(protocol, tmp_path / "out") == []
