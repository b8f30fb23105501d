# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Temporaries of the living stay, those of the dead go: by a lock, or by age where there are no locks."""

from __future__ import annotations

import os
import time

import pytest

from monai_coat.files import temporaries
from monai_coat.files.temporaries import STALE, temporary_beside

ORPHAN = ".a.txt.0123456789abcdef.tmp"


def test_two_writers_of_one_file_have_two_temporaries(tmp_path):
    with temporary_beside(tmp_path / "a.txt") as one, temporary_beside(tmp_path / "a.txt") as other:
        assert one != other
        assert one.exists()
        assert other.exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("folder", [False, True])
def test_what_nobody_holds_is_removed_at_once_whatever_its_age(tmp_path, folder):
    orphan = tmp_path / ORPHAN
    orphan.mkdir() if folder else orphan.touch()
    with temporary_beside(tmp_path / "a.txt"):
        assert not orphan.exists()


@pytest.mark.parametrize(
    "name", [".a.txt.tmp", ".a.txt.x.tmp", ".b.txt.0123456789abcdef.tmp", ".a.txt.b.0123456789abcdef.tmp"]
)
def test_other_files_stay(tmp_path, name):
    (tmp_path / name).touch()
    with temporary_beside(tmp_path / "a.txt"):
        assert (tmp_path / name).exists()


@pytest.mark.parametrize("locks", [None, "refused"])
def test_without_locks_age_decides(tmp_path, monkeypatch, locks):
    if locks is None:
        monkeypatch.setattr(temporaries, "fcntl", None)
    else:  # as some shared disks do
        monkeypatch.setattr(
            temporaries.fcntl, "flock", lambda *args: (_ for _ in ()).throw(OSError(95, "not supported"))
        )
    young, old = tmp_path / ORPHAN, tmp_path / ORPHAN.replace("0", "1")
    for path, age in ((young, STALE - 60), (old, STALE + 60)):
        path.touch()
        os.utime(path, (time.time() - age,) * 2)
    with temporary_beside(tmp_path / "a.txt") as temporary:
        assert temporary.exists()
        assert (young.exists(), old.exists()) == (True, False)
    assert not temporary.exists()


def test_a_writer_whose_new_temporary_was_taken_for_an_orphan_makes_another(tmp_path, monkeypatch):
    """In the moment between making a file and locking it."""
    made, real = [], temporaries._try_lock

    def lock(locks, descriptor):
        paths = [path for path in tmp_path.iterdir() if path.name != ORPHAN]
        if not made:
            made.extend(paths)
            paths[0].unlink()
        return real(locks, descriptor)

    monkeypatch.setattr(temporaries, "_try_lock", lock)
    with temporary_beside(tmp_path / "a.txt") as temporary:
        assert temporary.exists()
        assert temporary != made[0]
