# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The request that is being answered: what it brought along, and the temporary files that go when it ends.

Tested by tests/apps/test_visits.py.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["RequestFiles", "Visit", "current_visit", "visiting"]

logger = logging.getLogger(__name__)
PREFIX = "monai_coat_label_"


@dataclass(frozen=True)
class Visit:
    """What a request brought along.

    Attributes:
        uploads: fields that hold files.
        session: the session that it named, or nothing.
    """

    uploads: frozenset[str] = frozenset()
    session: str = ""


_VISIT: ContextVar[Visit] = ContextVar("visit", default=Visit())  # noqa: B039


def current_visit() -> Visit:
    """The request that is being answered; outside of any, one that brought nothing."""
    return _VISIT.get()


@contextmanager
def visiting(visit: Visit) -> Iterator[None]:
    """Answer a request."""
    token = _VISIT.set(visit)
    try:
        yield
    finally:
        _VISIT.reset(token)


class RequestFiles:
    """A folder for the temporary files of this process, private to it, which is swept when requests end.

    MONAI Label leaves the files of requests that are refused, and names them at random. So a file goes when every
    request has ended that was there when it was written.
    """

    def __init__(self) -> None:
        _remove_left_over(Path(tempfile.gettempdir()))
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}_"))
        tempfile.tempdir = str(self.folder)
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self._began: dict[int, float] = {}
        self._numbers = itertools.count()

    @contextmanager
    def of_request(self) -> Iterator[None]:
        """Let a request have temporary files."""
        number = next(self._numbers)
        self._began[number] = time.time()
        try:
            yield
        finally:
            del self._began[number]
            self._sweep(min(self._began.values(), default=float("inf")))

    def _sweep(self, before: float) -> None:
        for path in self.folder.iterdir():
            try:
                if path.lstat().st_mtime < before - 1:
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                logger.warning("temporary file stays: %s", error)


def _remove_left_over(folder: Path) -> None:
    """Folders of servers that were killed."""
    for path in folder.glob(f"{PREFIX}*_*"):
        number = path.name.removeprefix(PREFIX).partition("_")[0]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(path, ignore_errors=True)
