# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Digests of contents: never those of an earlier content, and no file read twice without need."""

from __future__ import annotations

import builtins
import os
import time
from types import SimpleNamespace

import pytest

from monai_coat.comparison.data import contents
from monai_coat.comparison.data.contents import FileDigests, digest_of_samples


@pytest.fixture
def opened(monkeypatch):
    """The names of the files that are opened from now on."""
    names, really_open = [], builtins.open

    def recording_open(file, *rest, **named):
        names.append(os.path.basename(os.fspath(file)))
        return really_open(file, *rest, **named)

    monkeypatch.setattr(contents, "open", recording_open, raising=False)
    return names


@pytest.fixture
def settled(monkeypatch):
    """Let every file count as unchanged for long."""
    later = time.time_ns() + 10**12
    monkeypatch.setattr(contents, "time", SimpleNamespace(time_ns=lambda: later))


def test_a_file_that_did_not_change_is_read_once_whoever_comes(tmp_path, opened, settled):
    (tmp_path / "a.png").write_bytes(b"content")
    first = FileDigests(tmp_path / "digests.json")
    digest = first.of(tmp_path / "a.png")
    first.save()
    assert FileDigests(tmp_path / "digests.json").of(tmp_path / "a.png") == first.of(tmp_path / "a.png") == digest
    assert opened.count("a.png") == 1


def test_equal_size_and_time_do_not_hide_another_content(tmp_path, settled):
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    status, digests = path.stat(), FileDigests(tmp_path / "digests.json")
    before = digests.of(path)
    # The step of the clock that a file system keeps times in is some milliseconds.
    time.sleep(0.05)
    path.write_bytes(b"two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert path.stat().st_size == status.st_size
    assert digests.of(path) != before


def test_nothing_is_kept_of_a_file_that_changed_a_moment_ago(tmp_path, monkeypatch):
    """Within one step of the clock a file can be rewritten without any trace in its entry."""
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    frozen = os.stat(path)
    monkeypatch.setattr(contents, "os", SimpleNamespace(stat=lambda name: frozen, path=os.path))
    monkeypatch.setattr(contents, "time", SimpleNamespace(time_ns=lambda: frozen.st_ctime_ns + 10**6))
    digests = FileDigests(tmp_path / "digests.json")
    before = digests.of(path)
    path.write_bytes(b"two")
    assert digests.of(path) != before


def test_a_file_that_took_the_place_of_another_is_told_apart(tmp_path, settled):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(name.encode())
        os.utime(tmp_path / name, ns=(1, 1))
    digests = FileDigests(tmp_path / "digests.json")
    before = digests.of(tmp_path / "a.png")
    (tmp_path / "b.png").rename(tmp_path / "a.png")
    assert digests.of(tmp_path / "a.png") != before


def test_a_copy_has_the_digest_of_its_original(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"x" * (2**20 + 1))
    digests = FileDigests(tmp_path / "digests.json")
    assert digests.of(tmp_path / "a.png") == digests.of(tmp_path / "b.png")


def test_broken_digests_are_named(tmp_path):
    (tmp_path / "digests.json").write_text("{")
    with pytest.raises(ValueError, match=r"the digests of files must be a JSON file.*remove it"):
        FileDigests(tmp_path / "digests.json")


def test_a_data_set_is_its_list_its_groups_and_its_contents(tmp_path):
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode())
    samples = [{"id": name, "image": tmp_path / name, "label": tmp_path / "c"} for name in "ab"]
    digests = FileDigests(tmp_path / "digests.json")
    same = [dict(sample, source="elsewhere") for sample in samples]
    assert digest_of_samples(samples, digests) == digest_of_samples(same, digests)
    others = [
        samples[:1],
        [samples[0], samples[1] | {"id": "c"}],
        [samples[0], samples[1] | {"group": "a"}],
        [samples[0], samples[1] | {"image": tmp_path / "a"}],
        [samples[0], samples[1] | {"label": tmp_path / "a"}],
        [samples[0], samples[1] | {"probs": tmp_path / "a"}],
        [samples[0], samples[1] | {"probs": (tmp_path / "a", tmp_path / "b")}],
        [samples[0], samples[1] | {"probs": tmp_path / "a", "segmentation": tmp_path / "c"}],
    ]
    assert len({digest_of_samples(each, digests) for each in [samples, *others]}) == 9
