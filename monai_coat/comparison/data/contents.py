# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Digests of files' contents, so that nothing that was made from a file outlives a change of it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_coat.comparison.protocol import digest_of
from monai_coat.files import read_json, write_json

__all__ = ["FileDigests", "digest_of_samples"]

SETTLED = 5 * 10**9
"""Nanoseconds without a change after which a file's times will tell of the next one: more than any clock's step."""
PIECE = 2**20


class FileDigests:
    """Digests of files' contents, kept in a JSON file, so that a file that did not change is not read again.

    A file is known by its size, inode, and the times of the last change of its content and of its entry. These cannot
    tell two changes within one step of the clock apart. So nothing is kept of a file that changed a moment ago.

    Args:
        path: the JSON file; made by :meth:`save`.

    Example:
        >>> folder = getfixture("tmp_path")
        >>> (folder / "mask.png").write_bytes(b"old")
        3
        >>> digests = FileDigests(folder / "digests.json")
        >>> before = digests.of(folder / "mask.png")
        >>> (folder / "mask.png").write_bytes(b"new")
        3
        >>> before == digests.of(folder / "mask.png")
        False
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._known: dict[str, Any] = {}
        if self.path.is_file():
            self._known = read_json(self.path, "the digests of files", "remove it to have them made again")
        self._saved = dict(self._known)

    def of(self, file: str | os.PathLike[str]) -> str:
        """The digest of a file's content.

        Raises:
            OSError: if the file cannot be read.
        """
        name = os.path.abspath(file)
        status = os.stat(name)
        identity = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
        known_identity, _, digest = str(self._known.get(name, "")).rpartition(" ")
        if known_identity == identity:
            return digest
        digest = _digest_of_content(name)
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED:
            self._known[name] = f"{identity} {digest}"
        return digest

    def save(self) -> None:
        """Write what is known, if it is more than what was read."""
        if self._known != self._saved:
            write_json(self.path, self._known)
            self._saved = dict(self._known)


def digest_of_samples(samples: Sequence[Mapping[str, Any]], digests: FileDigests) -> str:
    """The identity of a data set: which images it lists, their groups, and the contents of their files.

    Args:
        samples: dictionaries with ``id`` and paths ``image``, ``label`` and perhaps ``probs``, one or several, and
            ``segmentation``.
        digests: of files that are known already; what is new is added and saved.

    Returns:
        A digest that changes if a file is rewritten, added, or removed, or a group changes, and not if a file is merely
        copied or touched.
    """
    rows = [
        [
            sample["id"],
            sample.get("group"),
            *(digests.of(path) for path in _files(sample)),
        ]
        for sample in samples
    ]
    digests.save()
    return digest_of(rows)


def _files(sample: Mapping[str, Any]) -> list[str | os.PathLike[str]]:
    given = [sample[key] for key in ("image", "label", "probs", "segmentation") if key in sample]
    return [path for paths in given for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]


def _digest_of_content(path: str) -> str:
    content = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            content.update(piece)
    return content.hexdigest()[:32]
