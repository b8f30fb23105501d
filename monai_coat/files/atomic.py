# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A file, or a folder of files, that is written whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["new_folder", "remove_unfinished", "replacing"]


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; it takes the place of ``path`` if all went well. Makes folders.

    If the body raises, the old file stays as it was, and the half-written one goes. What was written is on the disk
    before it is renamed, so that no crash leaves an empty file under the final name. Files are readable as the umask
    says.

    Example:
        >>> path = getfixture("tmp_path") / "a" / "note.txt"
        >>> with replacing(path) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> path.read_text()
        'whole'
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(final)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a folder beside ``path`` to fill; it gets the name ``path``, which nothing has yet, if all went well.

    Example:
        >>> path = getfixture("tmp_path") / "models" / "001"
        >>> with new_folder(path) as temporary:
        ...     _ = (temporary / "note.txt").write_text("whole")
        >>> [each.name for each in path.iterdir()]
        ['note.txt']
    """
    final = Path(path)
    temporary = _beside(final)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        os.rename(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_unfinished(folder: str | os.PathLike[str]) -> list[str]:
    """Remove what was left in a folder by writers of this machine that were killed.

    Returns:
        The names that these files and folders were to have.

    Example:
        >>> folder = getfixture("tmp_path")
        >>> _ = (folder / ".a.json.4194305.1.tmp").write_text("ha")
        >>> remove_unfinished(folder)
        ['a.json']
    """
    removed = []
    for path in sorted(Path(folder).glob(".*.tmp")):
        named = re.fullmatch(r"\.(.+)\.(\d+)\.\d+\.tmp", path.name)
        if named and not _is_running(int(named[2])):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            removed.append(named[1])
    return removed


def _beside(final: Path) -> Path:
    """Where to write; the name says by whom."""
    # Not mkstemp, whose files nobody else may read. Threads of one process may write at the same time, too.
    return final.with_name(f".{final.name}.{os.getpid()}.{threading.get_ident()}.tmp")


def _is_running(process: int) -> bool:
    """Whether there is a process of this number, as far as can be asked without harm."""
    if os.name != "posix":
        return True  # the question would end it
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
