# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Statistic files of a broken or hostile exporter, checksums right: refused by name, in bounded memory."""

from __future__ import annotations

import io
import json
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch

from monai_coat.calibration import (
    BinnedStatistic,
    CollectedStatistic,
    CoverageStatistic,
    FalsePositiveStatistic,
    WorstClassStatistic,
    load_statistic,
    merge_statistics,
    save_statistic,
)
from tests.calibration.statistics.test_edited_file import checksum

EXACT = (CoverageStatistic, WorstClassStatistic, FalsePositiveStatistic)


def stored(kind, tmp_path):
    """The head and the arrays of a good file of 20 images of two classes."""
    collected = CollectedStatistic(kind())
    collected.update(torch.rand(20, 2, 9), torch.rand(20, 2, 9) < 0.5)
    save_statistic(collected, tmp_path / "good.npz")
    with np.load(tmp_path / "good.npz") as content:
        arrays = {name: content[name] for name in content.files}
    return json.loads(str(arrays.pop("head"))), arrays


def forged(kind, tmp_path, edits=None, head=None, removed=()):
    """The file with other arrays and entries of the head, and the checksum that belongs to them."""
    entries, arrays = stored(kind, tmp_path)
    arrays |= {name: np.asarray(edit(arrays) if callable(edit) else edit) for name, edit in (edits or {}).items()}
    arrays = {name: array for name, array in arrays.items() if name not in removed}
    entries = {name: value for name, value in (entries | (head or {})).items() if value is not None}
    entries["checksum"] = checksum(entries, arrays)
    np.savez_compressed(tmp_path / "bad.npz", head=np.array(json.dumps(entries)), **arrays)
    return tmp_path / "bad.npz"


def refused(path, message):
    """Refused by name by all that read statistics, and without the memory that the file asks for."""
    for read in (load_statistic, lambda name: merge_statistics([name])):
        tracemalloc.start()
        expected = rf"path must name a statistic file of version 2, got {path} \(.*({message})"
        try:
            with pytest.raises(ValueError, match=f"(?s){expected}"):
                read(path)
            assert tracemalloc.get_traced_memory()[1] < 2**26
        finally:
            tracemalloc.stop()


def tenth(rates):
    """A rate that falls once."""
    changed = rates.copy()
    changed[0, 10] = changed[0, 9] - 1 if changed[0, 9] else changed[0, -1]
    return changed


TOKENS = [f"{number:016x}" for number in range(60)]
SUMS = [
    ({"rates": lambda a: a["rates"].astype(np.float64) * np.nan}, "rates must be int64"),
    ({"rates": lambda a: a["rates"].astype(np.float64) + 0.5}, "rates must be int64"),
    ({"rates": lambda a: a["rates"].astype(np.int32)}, "rates must be int64"),
    ({"rates": lambda a: a["rates"].astype(np.complex128)}, "rates must be int64"),
    ({"rates": lambda a: a["rates"].astype(">i8")}, "rates must be int64|byte order"),
    ({"rates": lambda a: a["rates"].astype("U9")}, "rates|type"),
    ({"rates": lambda a: tenth(a["rates"])}, "rates must rise"),
    ({"rates": lambda a: a["rates"][0]}, "rates must be int64 with 2 axes"),
    ({"rates": lambda a: a["rates"][None]}, "rates must be int64 with 2 axes"),
    ({"rates": lambda a: a["rates"][:1]}, "one entry per class"),
    ({"rates": lambda a: a["rates"][:, :0]}, "one entry per class"),
    ({"rates": 5}, "rates must be int64"),
    ({"n": lambda a: a["n"] + 2**61}, "n must hold numbers of images"),
    ({"n": lambda a: a["n"] * 1000, "rates": lambda a: a["rates"] * 1000}, "slack|must count each image once"),
    ({"n": lambda a: a["n"].astype(np.float64)}, "n must be int64"),
    ({"n": lambda a: a["n"][:1]}, "one entry per class"),
    ({"n": lambda a: np.vstack([a["n"], a["n"]])}, "one entry per class"),
    ({"n": lambda a: np.zeros_like(a["n"])}, "rates must rise"),
    ({"n": lambda a: a["n"] * [[1], [-1]] - [[0], [1]]}, "n not negative"),
    ({"grid": np.array([-1.0, 1.0, 1e15])}, "one entry per class and cutoff"),
    ({"grid": np.array([-1.0, 1.0, np.nan])}, "one entry per class and cutoff"),
    ({"grid": np.array([-1.0, 1.0, np.inf])}, "one entry per class and cutoff"),
    ({"grid": np.array([-1.0, 1.0, -512.0])}, "one entry per class and cutoff"),
    ({"grid": np.array([np.inf, 1.0, 512.0])}, "ascending grid"),
    ({"grid": np.array([1.0, -1.0, 512.0])}, "ascending grid"),
    ({"grid": np.array([1.0, 1.0 + 1e-9, 512.0])}, "ascending grid"),
    ({"grid": np.array([-1, 1, 512])}, "grid must be float64"),
    ({"grid": 5.0}, "grid must be float64 with 1 axes"),
    ({"unit": 1023}, "unit must be a power of two"),
    ({"unit": 1024.5}, "unit must be a whole number"),
    ({"unit": -1024}, "unit must be a whole number from 0"),
    ({"unit": 2**40}, "unit must be a whole number from 0"),
    ({"unit": [1024, 1024]}, "unit must be a whole number"),
    ({"slack": lambda a: a["slack"] * 0}, "slack must be at least"),
    ({"slack": lambda a: a["slack"] * np.nan}, "slack must be int64"),
    ({"slack": lambda a: a["slack"] + 2**40}, "slack must be at least"),
    ({"slack": lambda a: a["slack"][:1]}, "slack must be at least"),
    ({"hide_sizes": 2}, "hide_sizes must be a whole number from 0 to 1"),
    ({"hide_sizes": [True, True]}, "hide_sizes must be a whole number"),
    ({"hide_sizes": "no"}, "hide_sizes|type"),
    ({"extra": np.zeros(3)}, "entries must be .* got .*extra"),
    ({"rates/deep": np.zeros(3)}, "names of their own"),
    ({"a/b/c": np.zeros(3)}, "entries must be"),
    (
        {"rates": lambda a: a["rates"][:0], "n": lambda a: a["n"][:, :0], "slack": lambda a: a["slack"][:0]},
        "at least one im",
    ),
    (
        {name: lambda a, name=name: a[name] * 0 for name in ("rates", "n", "slack")},
        "at least one image with foreground, got none",
    ),
]
SCORES = [
    ({"0/scores": lambda a: a["0/scores"] * np.float32(np.nan)}, "scores must be finite"),
    ({"0/scores": lambda a: a["0/scores"] + np.float32(np.inf)}, "scores must be finite"),
    ({"0/scores": lambda a: a["0/scores"].astype(np.float16)}, "scores must be float32"),
    ({"0/scores": lambda a: a["0/scores"].astype(np.int32)}, "scores must be float32"),
    ({"0/scores": lambda a: a["0/scores"][None]}, "scores must be float32 with 1 axes"),
    ({"0/scores": np.zeros(0, np.float32)}, "must describe the scores"),
    ({"0/scores": lambda a: np.r_[a["0/scores"], a["0/scores"]]}, "must describe the scores"),
    ({"1/sizes": lambda a: a["1/sizes"] * 0}, "must describe the scores"),
    ({"1/sizes": lambda a: np.r_[a["1/sizes"], 0], "1/positions": lambda a: np.r_[a["1/positions"], 19]}, "must desc"),
    ({"1/sizes": lambda a: np.r_[a["1/sizes"][:-1], 2**62]}, "must describe the scores"),
    ({"1/sizes": lambda a: a["1/sizes"].astype(np.float64)}, "sizes must be int64"),
    ({"1/sizes": lambda a: a["1/sizes"].astype(np.uint8)}, "sizes must be int64"),
    ({"1/sizes": lambda a: a["1/sizes"][:-1]}, "must describe the scores"),
    ({"1/sizes": lambda a: np.r_[a["1/sizes"], 1]}, "must describe the scores"),
    ({"1/positions": lambda a: a["1/positions"] - 1}, "must describe the scores"),
    ({"1/positions": lambda a: a["1/positions"] * 2**40}, "must describe the scores"),
    ({"1/positions": lambda a: a["1/positions"].astype(np.float32)}, "positions must be int64"),
    ({"0/n_empty": 0.5}, "n_empty must be a whole number"),
    ({"0/n_empty": np.nan}, "n_empty must be a whole number"),
    ({"0/n_empty": 2**62}, "n_empty must be a whole number"),
    ({"0/n_empty": [0]}, "n_empty must be a whole number"),
    ({"0/extra": np.zeros(3)}, "entries must be .* got .*extra"),
    ({"7/scores": np.zeros(3, np.float32)}, "entries must be"),
    ({"0": np.zeros(3)}, "names of their own"),
    ({"00/scores": np.zeros(3, np.float32)}, "entries must be"),
    ({"rates": np.zeros((2, 513), np.int64)}, "entries must be"),
]


@pytest.mark.parametrize(
    ("kind", "edits", "message"),
    [(BinnedStatistic, *row) for row in SUMS] + [(kind, *row) for kind in EXACT for row in SCORES],
)
def test_impossible_arrays_are_refused_though_their_checksum_is_right(tmp_path, kind, edits, message):
    refused(forged(kind, tmp_path, edits), message)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(BinnedStatistic, name) for name in ("rates", "n", "grid", "unit", "slack", "hide_sizes")]
    + [(kind, f"0/{name}") for kind in EXACT for name in ("scores", "sizes", "positions", "n_empty")],
)
def test_missing_arrays_are_named(tmp_path, kind, name):
    refused(forged(kind, tmp_path, removed=[name]), "entries must be .* got ")


HEADS = [
    ({"format": "monai_coat calibration"}, "format 'monai_coat calibration'"),
    ({"format": None}, "format 'None'"),
    ({"version": 1}, "version 1"),
    ({"version": "2"}, "version 2"),
    ({"version": [2]}, r"version \[2\]"),
    ({"kind": "maps"}, "kind must be one of binned"),
    ({"kind": 5}, "kind must be there, a str"),
    ({"kind": None}, "kind must be there, a str"),
    ({"kind": ["binned"]}, "kind must be there, a str"),
    ({"method": None}, "method must be there"),
    ({"method": 5}, "method must be there"),
    ({"identity": None}, "identity must be there"),
    ({"identity": []}, "identity must be there"),
    ({"identity": {"network": {"a": 1}, "pipeline": {}}}, "dictionaries of text"),
    ({"images": None}, "images must be there, a list"),
    ({"images": "0123456789abcdef"}, "images must be there, a list"),
    ({"images": {}}, "images must be there, a list"),
    ({"images": TOKENS[:19] * 2}, "must be different tokens"),
    ({"images": [*TOKENS[:19], "xyz"]}, "must be different tokens"),
    ({"images": [*TOKENS[:19], "X" * 16]}, "must be different tokens"),
    ({"images": [*TOKENS[:19], 5]}, "must be different tokens"),
    ({"images": [*TOKENS[:19], ["0" * 16]]}, "must be different tokens"),
    ({"images": TOKENS[:5]}, "must count each image once"),
    ({"images": []}, "must count each image once"),
    ({"images": TOKENS}, "must have one token per image, got 60 of 20"),
]


@pytest.mark.parametrize(("head", "message"), HEADS)
def test_heads_that_cannot_be_are_refused_though_their_checksum_is_right(tmp_path, head, message):
    refused(forged(BinnedStatistic, tmp_path, head=head), message)


def test_an_unknown_entry_of_the_head_is_passed_over(tmp_path):
    assert load_statistic(forged(BinnedStatistic, tmp_path, head={"site": "north"})).statistic.n_empty


def with_head(tmp_path, text):
    _, arrays = stored(BinnedStatistic, tmp_path)
    np.savez(tmp_path / "bad.npz", head=text, **arrays)
    return tmp_path / "bad.npz"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (np.array("[" * 100_000), "nested too deep"),
        (np.array('{"a":' * 50_000), "nested too deep"),
        (np.array(""), "Expecting value"),
        (np.array("[]"), "format 'None'"),
        (np.array('{"format": NaN}'), "numbers must be finite"),
        (np.array('{"version": 2, "version": 2}'), "names must be there once"),
        (np.array('{"version": 1e999}'), "numbers must be finite"),
        (np.array('{"version": ' + "9" * 400 + "}"), "numbers must be finite"),
        (np.array('{"version": ' + "9" * 10_000 + "}"), "numbers must be finite|digits"),
        (np.array(["{}"]), "no head in words"),
        (np.array(b"{}"), "must be of numbers or text"),
        (np.array(5), "no head in words"),
    ],
)
def test_heads_that_are_no_json_are_refused(tmp_path, text, message):
    refused(with_head(tmp_path, text), message)


def zipped(path, entries, **settings):
    """A zip file of raw entries."""
    with zipfile.ZipFile(path, "w", **settings) as content:
        for name, data in entries:
            content.writestr(name, data)
    return path


def npy(shape="(3,)", dtype="'<f8'", data=b"\0" * 24, version=b"\x01\x00", text=None):
    """The bytes of an array file with any header."""
    header = (text or f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}}}").encode("latin1") + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H" if version[0] == 1 else "<I", len(header)) + header + data


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(shape="(10000000000000,)"), "must have 80000000000000 bytes by its header, got 24"),
        (npy(shape="(-3,)"), "must be of numbers or text|shape"),
        (npy(shape="(3.5,)"), "shape|header"),
        (npy(shape="5"), "shape|header"),
        (npy(shape=f"({'1,' * 100}3)"), "maximum|bytes|dimension|too"),
        (npy(shape="(2**62, 2**62)"), "header|shape|parse|malformed"),
        (npy(shape="(4611686018427387904, 4, 0)"), "must have 0 bytes by its header, got 24"),
        (npy(dtype="'|O'"), "must be of numbers or text, got object"),
        (npy(dtype="'|V8'"), "must be of numbers or text"),
        (npy(dtype="[('a', '<f8')]"), "must be of numbers or text"),
        (npy(dtype="'<U0'", data=b""), "must be of numbers or text"),
        (npy(dtype="'M8[s]'"), "must be of numbers or text"),
        (npy(dtype="'nonsense'"), "descr|dtype"),
        (npy(dtype="(" * 3000), "header|nested|parse|too"),
        (npy(text="__import__('os').getcwd()"), "header|parse|malformed"),
        (npy(text="{" * 60_000), "header|Header|too large"),
        (npy(text="{'descr': '<f8'"), "header|parse"),
        (npy(text="\x00\xff"), "header|parse|null|source"),
        (npy(version=b"\x02\x00"), "NumPy's format 1.0"),
        (npy(version=b"\x63\x00"), "NumPy's format 1.0"),
        (npy(data=b"\0" * 23), "must have 24 bytes by its header, got 23"),
        (npy(data=b"\0" * 25), "must have 24 bytes by its header, got 25"),
        (b"", "EOF|magic"),
        (b"\x93NUM", "EOF|magic"),
        (b"\x93NUMPY\x01\x00\xff\xff", "EOF|header"),
        (b"PK\x03\x04", "EOF|magic"),
        (b"\x80\x04\x95" * 20, "magic"),
    ],
)
def test_headers_of_arrays_are_not_believed(tmp_path, content, message):
    refused(zipped(tmp_path / "bad.npz", [("rates.npy", content)]), message)


@pytest.mark.parametrize(
    "name",
    ["/etc/rates.npy", "../rates.npy", "a//b.npy", "a/../b.npy", "a\\b.npy", "rates.txt", "rates", "folder/"],
)
def test_names_of_entries_are_not_believed(tmp_path, name):
    refused(zipped(tmp_path / "bad.npz", [(name, npy())]), "entries must be arrays, got")


def test_two_entries_of_one_name_are_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = zipped(tmp_path / "bad.npz", [("rates.npy", npy()), ("rates.npy", npy())])
    refused(path, "arrays must have different names, got 'rates.npy' twice")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(tmp_path, compression):
    refused(zipped(tmp_path / "bad.npz", [("rates.npy", npy())], compression=compression), "plainly or deflated")


def patched(path, changes):
    """A zip file with other numbers in the directory: offset in the record, bytes."""
    content = bytearray(zipped(path, [("rates.npy", npy())]).read_bytes())
    start = content.rfind(b"PK\x01\x02")
    for offset, value in changes:
        content[start + offset : start + offset + len(value)] = value
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([(8, b"\x01\x00")], "plainly or deflated"),  # encrypted
        ([(10, b"\x63\x00")], "plainly or deflated"),  # a method that nobody knows
        ([(24, b"\xff\xff\xff\x7f")], "must have at most 536870912 bytes together, got 2147483647"),
        ([(24, b"\x08\x00\x00\x00")], "CRC|EOF|magic"),
        ([(16, b"\0\0\0\0")], "CRC"),
        ([(42, b"\xff\xff\x00\x00")], "magic|[Tt]runcated|EOF|Overlapped|offset"),
        ([(6, b"\xff\x00")], "zip file version"),
    ],
)
def test_numbers_of_the_directory_are_not_believed(tmp_path, changes, message):
    refused(patched(tmp_path / "bad.npz", changes), message)


def test_a_small_file_that_unpacks_to_a_large_one_is_refused_before_it_is_unpacked(tmp_path):
    """1 MB that would become 1 GB; with what was asked for, less is refused too, and more is taken."""
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as content,
        content.open("rates.npy", "w", force_zip64=True) as file,
    ):
        file.write(npy(shape=f"({2**27},)", data=b""))
        for _ in range(2**10):
            file.write(bytes(2**20))
    assert (tmp_path / "bomb.npz").stat().st_size < 1_100_000
    refused(tmp_path / "bomb.npz", r"arrays must have at most 536870912 bytes together, got 1073\d{6}; allow more")
    save_statistic(CollectedStatistic(*filled()), tmp_path / "good.npz")
    with pytest.raises(ValueError, match="must have at most 1000 bytes together"):
        load_statistic(tmp_path / "good.npz", largest=1000)
    assert merge_statistics([tmp_path / "good.npz"], largest=20_000).statistic.n == (12,)


def filled():
    collected = CollectedStatistic(BinnedStatistic())
    collected.update(torch.rand(12, 1, 9), torch.ones(12, 1, 9))
    return collected.statistic, None, "", collected.images


def test_a_directory_of_a_million_entries_is_refused_before_it_is_read(tmp_path):
    """Each would be an object ten times as large as its record."""
    record = (
        struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0) + b"a.npy"
    )
    size = len(record) * 10**6
    for claimed, end in ((size, b""), (0xFFFFFFFF, b"PK\x06\x07" + bytes(16))):
        tail = end + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, claimed, 0, 0)
        (tmp_path / "bad.npz").write_bytes(record * 10**6 + tail)
        refused(tmp_path / "bad.npz", "its directory must have at most 1048576 bytes")


def test_files_that_are_something_else_are_refused(tmp_path):
    plain = io.BytesIO()
    np.save(plain, np.zeros(3))
    for content in (
        b"",
        b"\0" * 1000,
        plain.getvalue(),
        b"PK\x05\x06",
        b"PK\x05\x06" + bytes(17),
        bytes(range(256)) * 99,
    ):
        (tmp_path / "bad.npz").write_bytes(content)
        refused(tmp_path / "bad.npz", "no zip file, or was cut short")
    (tmp_path / "bad.npz").write_bytes(b"PK\x05\x06" + bytes(18))  # an empty zip file
    refused(tmp_path / "bad.npz", "it has no head in words")


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "loop.npz").symlink_to(tmp_path / "loop.npz")
    for name in ("pipe.npz", "folder.npz", "loop.npz", "none.npz"):
        with pytest.raises(FileNotFoundError, match=rf"path must name a statistic file, got .*{name}, which does not"):
            load_statistic(tmp_path / name)


class Opened:
    def __reduce__(self):
        return (open, ("ran", "w"))


def test_pickles_are_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "bad.npz", head=np.array([Opened()], object), allow_pickle=True)
    refused(tmp_path / "bad.npz", "must be of numbers or text, got object")
    assert not (tmp_path / "ran").exists()
