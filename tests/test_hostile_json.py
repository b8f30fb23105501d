# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Hostile JSON for everything that reads JSON: refused by name, without waiting and in bounded memory."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import pytest

from monai_coat.bundles.steps import read_metadata
from monai_coat.calibration import CalibrationResult, load_calibration, save_calibration
from monai_coat.comparison import load_protocol
from monai_coat.comparison.data.contents import FileDigests
from monai_coat.data import Partition, load_datalist
from monai_coat.files import json as json_files
from monai_coat.files import read_json
from monai_coat.handlers import ResumeCheckpoint, load_losses
from tests.calibration.test_artifact import forge

RESULT = CalibrationResult((0.25,), 0.1, (99,), (1,), (0.0875,), "E[FNR] <= 0.1", "coat")
SAMPLES = [{"id": str(number)} for number in range(4)]


def metadata(path):
    (path.parent / "configs").mkdir(exist_ok=True)
    (path.parent / "configs" / "metadata.json").symlink_to(path)
    return read_metadata(path.parent)


def settings(path):
    path.with_name("settings.json").symlink_to(path)
    checkpoint = ResumeCheckpoint(path.parent, {}, settings={"alpha": 0.1})
    checkpoint._check_settings()


def datasets(path):
    path.with_name("datasets.json").symlink_to(path)
    return load_datalist(path.parent, "polyp")


READERS = {
    "calibration": load_calibration,
    "partition": lambda path: Partition.load(path, SAMPLES),
    "datasets": datasets,
    "digests": FileDigests,
    "cell": lambda path: read_json(path, "a finished cell", "remove it"),
    "settings": settings,
    "protocol": load_protocol,
    "metadata": metadata,
}
TEXTS = {
    "empty": b"",
    "garbage": bytes(range(256)),
    "nul": b"\0" * 100,
    "cut short": b'{"a": 1',
    "more after it": b'{"a": 1} {"a": 1}',
    "deep list": b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "deep object": b'{"a": ' * 100_000 + b"1" + b"}" * 100_000,
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": [1, -Infinity]}',
    "a float too large": b'{"a": 1e400}',
    "a whole number too large": b'{"a": 1' + b"0" * 400 + b"}",
    "a number of a million digits": b'{"a": ' + b"9" * 10**6 + b"}",
    "a name twice": b'{"a": 1, "a": 2}',
    "a name twice inside": b'{"b": [{"a": 1, "a": 1}]}',
    "byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "UTF-32": '{"a": 1}'.encode("utf-32"),
    "Latin-1": '{"a": "ü"}'.encode("latin-1"),
    "comments": b'{"a": 1} // it',
    "a list": b"[1, 2]",
    "a text": b'"a"',
    "null": b"null",
    "a number": b"5",
    "pickle": b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00.",
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", TEXTS)
def test_what_is_no_json_object_is_refused_by_name_by_all_readers(tmp_path, reader, text):
    path = tmp_path / "file.json"
    path.write_bytes(TEXTS[text])
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"must (be|hold) a JSON (file|object).*\.json"):
            READERS[reader](path)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("reader", ["calibration", "partition", "cell"])
@pytest.mark.parametrize("kind", ["a folder", "a device or a pipe", "a link to nothing", "a loop", "nothing"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, reader, kind):
    path, said = tmp_path / "file.json", f"which is {kind}"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a device or a pipe":
        os.mkfifo(path)
    elif kind == "a link to nothing":
        path.symlink_to(tmp_path / "gone")
    elif kind == "a loop":
        path.symlink_to(path)
        said = "which is a link to nothing"
    else:
        said = "which does not exist"
    with pytest.raises(FileNotFoundError, match=rf"must be a file, got {path}, {said}"):
        READERS[reader](path)


def test_devices_are_not_read():
    for device in ("/dev/zero", "/dev/null"):
        if Path(device).exists():
            with pytest.raises(FileNotFoundError, match=f"got {device}, which is a device or a pipe"):
                load_calibration(device)


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    """It has a gigabyte by its length, and a few blocks on the disk."""
    path = tmp_path / "file.json"
    with path.open("wb") as file:
        file.truncate(2**30)
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"must be a JSON file of at most {json_files.LARGEST} bytes, got {2**30} in"):
        load_calibration(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


CALIBRATIONS = [
    {"n": True},
    {"n": [True]},
    {"n": [5]},  # too few for alpha
    {"n": [8]},
    {"n": [99.0]},
    {"n": [-99]},
    {"n": ["99"]},
    {"n": [None]},
    {"n": [10**300]},
    {"n": {"0": 99}},
    {"risk": [0.9]},
    {"risk": [-0.1]},
    {"risk": [True]},
    {"risk": [False]},
    {"risk": "0"},
    {"n_empty": [-3]},
    {"n_empty": [1.5]},
    {"n_empty": [False]},
    {"cutoff": [1e300]},
    {"cutoff": [1]},
    {"cutoff": [None]},
    {"cutoff": "0"},
    {"cutoff": [[0.25]]},
    {"cutoff": []},
    {"cutoff": [0.25, 0.25]},
    {"alpha": 0},
    {"alpha": 1},
    {"alpha": True},
    {"alpha": -0.1},
    {"alpha": 1e-320},
    {"alpha": [0.1]},
    {"alpha": None},
    {"guarantee": 5},
    {"guarantee": "E[FNR] <= 0.01"},
    {"guarantee": ["E[FNR] <= 0.1"]},
    {"kind": "certainty"},
    {"kind": {}},
    {"controls": "dice"},
    {"controls": 5},
    {"controls": []},
    {"method": {}},
    {"identity": {"network": [], "pipeline": {}}},
    {"identity": {"network": {"a": {}}, "pipeline": {}}},
    {"identity": None},
]


@pytest.mark.parametrize("entries", CALIBRATIONS, ids=str)
def test_impossible_calibrations_are_refused_though_their_checksum_is_right(tmp_path, entries):
    save_calibration(RESULT, tmp_path / "c.json")
    forge(tmp_path / "c.json", **entries)
    with pytest.raises(ValueError, match=rf"{tmp_path / 'c.json'} (is damaged \(|was changed).*; calibrate again"):
        load_calibration(tmp_path / "c.json")


def test_what_a_later_release_adds_is_passed_over(tmp_path):
    save_calibration(RESULT, tmp_path / "c.json")
    forge(tmp_path / "c.json", comment="x" * 10**6, deep=[[[]]])
    assert load_calibration(tmp_path / "c.json") == RESULT


def parts(**changes):
    names = ("base_train", "threshold_train", "calibration", "test")
    content = {"format": "monai_coat partition", "version": 1, "seed": 0, "by": "image"}
    return content | {"parts": {name: [str(number)] for number, name in enumerate(names)}} | changes


def with_part(value):
    return {"parts": parts()["parts"] | {"calibration": value}}


PARTITIONS = [
    {"format": "else"},
    {"version": 2},
    {"version": "1"},
    {"seed": None},
    {"seed": "0"},
    {"seed": True},
    {"seed": 0.5},
    {"by": 5},
    {"by": "luck"},
    {"parts": None},
    {"parts": []},
    {"parts": {}},
    with_part("2"),
    with_part(["2", "2"]),
    with_part([2]),
    with_part([["2"]]),
    with_part([{}]),
    with_part(None),
    with_part(["1", "2"]),  # also in another part
    with_part(["2", "7"]),  # not in the data
    with_part([]),  # the data has more
]


@pytest.mark.parametrize("changes", PARTITIONS, ids=str)
def test_impossible_partitions_are_refused(tmp_path, changes):
    path = tmp_path / "partition.json"
    path.write_text(json.dumps(parts()))
    assert Partition.load(path, SAMPLES).part("calibration") == [{"id": "2"}]
    path.write_text(json.dumps(parts(**changes)))
    with pytest.raises(ValueError, match=r"(must|got)") as error:
        Partition.load(path, SAMPLES)
    assert str(error.value)[-1] == "."


SAMPLE = {"id": "a", "domain": "polyp", "source": "s", "image": "a.png", "mask": "m.png", "group": "g", "empty": False}
RECORDS = [
    {"samples": None},
    {"samples": {}},
    {"samples": "a"},
    {"samples": [[]]},
    {"samples": [5]},
    *({"samples": [{**SAMPLE, name: value}]} for name in SAMPLE for value in (None, 5, ["a"])),
    {"samples": [{**SAMPLE, "predictions": []}]},
    {"samples": [{**SAMPLE, "predictions": {"pranet": 5}}]},
    *({"samples": [{key: value for key, value in SAMPLE.items() if key != name}]} for name in SAMPLE),
]


@pytest.mark.parametrize("content", RECORDS, ids=str)
def test_impossible_descriptions_of_data_are_refused(tmp_path, content):
    (tmp_path / "datasets.json").write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=r"samples must be a list of objects .*, got something else as sample 0 of .*js"
    ):
        load_datalist(tmp_path, "polyp")


@pytest.mark.parametrize("content", [b"epoch,loss\n1,x\n", b"\0\0", b"\xff\xfe", b"a,b\n1,2\n", b"epoch,loss\n1\n"])
def test_files_of_losses_that_are_none_are_named(tmp_path, content):
    (tmp_path / "losses.csv").write_bytes(content)
    if content.startswith(b"\0"):
        assert load_losses(tmp_path / "losses.csv") == []  # a header of one column, and no line
        return
    with pytest.raises(
        ValueError, match=r"path must name a file of losses, got .*losses\.csv, which is none .*; remove"
    ):
        load_losses(tmp_path / "losses.csv")
