# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Temporary files and folders beside the final ones: known by a lock, so that those of killed writers go.

A name has 64 random bits, since containers that share a folder share numbers of processes too. A writer holds a lock on
its temporary (``flock``, which the system takes back from a process that ends in whatever way), and the next writer of
the same final name removes those that nobody holds. Locks are seen by all processes of a machine, those in containers
too, and on NFS by all machines. Where there are none (Windows, some shared disks) a temporary is removed when nothing
was written to it for a day.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["STALE", "remove_unfinished", "temporary_beside"]

STALE = 24 * 3600.0
"""Seconds without a change after which a temporary is nobody's, where there are no locks."""


@contextmanager
def temporary_beside(final: Path, folder: bool = False) -> Iterator[Path]:
    """Make an empty file, or a folder, beside ``final``; it is removed in the end if it is still there.

    Example:
        >>> final = getfixture("tmp_path") / "note.txt"
        >>> with temporary_beside(final) as temporary:
        ...     temporary.parent == final.parent, temporary.read_text()
        (True, '')
        >>> temporary.exists()
        False
    """
    remove_unfinished(final.parent, final.name)
    while True:
        temporary = final.with_name(f".{final.name}.{secrets.token_hex(8)}.tmp")
        # Not mkstemp, whose files nobody else may read.
        temporary.mkdir() if folder else temporary.touch(exist_ok=False)
        with _lock(temporary) as mine:
            if mine is False or not temporary.exists():
                continue  # taken for an orphan in the moment before the lock
            try:
                yield temporary
            finally:
                _remove(temporary)
            return


def remove_unfinished(folder: str | os.PathLike[str], name: str | None = None) -> list[str]:
    """Remove what killed writers left in a folder: temporaries that no living writer holds.

    Args:
        folder: where to look.
        name: final name whose temporaries are meant, or None for all.

    Returns:
        The final names that they were to have.

    Example:
        >>> folder = getfixture("tmp_path")
        >>> (folder / ".a.json.0123456789abcdef.tmp").touch()
        >>> os.utime(folder / ".a.json.0123456789abcdef.tmp", (0, 0))
        >>> remove_unfinished(folder)
        ['a.json']
    """
    pattern = re.compile(rf"\.({'.+' if name is None else re.escape(name)})\.[0-9a-f]{{16}}\.tmp")
    removed = []
    with contextlib.suppress(OSError):  # a folder that may be written to but not listed
        found = [(Path(entry.path), pattern.fullmatch(entry.name)) for entry in os.scandir(folder)]
        for path, named in found:
            if named is None:
                continue
            with contextlib.suppress(OSError), _lock(path) as mine:  # gone in the meantime, or somebody else's
                if mine or (mine is None and time.time() - path.stat().st_mtime > STALE):
                    _remove(path)
                    removed.append(named[1])
    return sorted(removed)


@contextmanager
def _lock(path: Path) -> Iterator[bool | None]:
    """Hold the lock of a file or folder; yields whether it is held, None where there are no locks."""
    if fcntl is None:
        yield None
        return
    try:  # NFS locks files only for those who may write to them
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _try_lock(fcntl, descriptor)
    finally:
        os.close(descriptor)


def _try_lock(locks: Any, descriptor: int) -> bool | None:
    try:
        locks.flock(descriptor, locks.LOCK_EX | locks.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
