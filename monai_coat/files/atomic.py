# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A file, or a folder, that is written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monai_coat.files.temporaries import temporary_beside

__all__ = ["replacing", "replacing_folder"]

Path_ = str | os.PathLike[str]


@contextmanager
def replacing(path: Path_) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; it takes the place of ``path`` if all went well. Makes folders.

    If the body raises, the old file stays as it was, and the half-written one goes. What was written is on the disk
    before it is renamed, and the new name is before this returns, so that no crash leaves an empty file. Files are
    readable as the umask says. What a killed writer left goes when the same file is next written. A symbolic link stays
    one: the file that it leads to is replaced.

    Raises:
        FileNotFoundError: if ``path`` is a link into a folder that does not exist.
        OSError: naming ``path``, if it is a folder, a device or a pipe, or cannot be written, as on a full disk.

    Example:
        >>> path = getfixture("tmp_path") / "a" / "note.txt"
        >>> with replacing(path) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> path.read_text()
        'whole'
    """
    final = _place_of(Path(path))
    with _naming(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(final) as temporary:
            yield temporary
            _sync(temporary)
            os.replace(temporary, final)
            _sync(final.parent)


@contextmanager
def replacing_folder(path: Path_) -> Iterator[Path]:
    """Yield a folder beside ``path`` to fill, which becomes ``path`` if all went well; as :func:`replacing`.

    Raises:
        FileExistsError: if there is something at ``path``: what is in a folder may be somebody's.
        OSError: naming ``path``, if it cannot be written.

    Example:
        >>> path = getfixture("tmp_path") / "app"
        >>> with replacing_folder(path) as temporary:
        ...     _ = (temporary / "main.py").write_text("pass")
        >>> [file.name for file in path.iterdir()]
        ['main.py']
    """
    final = Path(path)
    if os.path.lexists(final):
        raise FileExistsError(f"folder must not exist, got {final}; remove it or name another.")
    with _naming(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(final, folder=True) as temporary:
            yield temporary
            for file in [*temporary.rglob("*"), temporary]:
                _sync(file)
            os.rename(temporary, final)
            _sync(final.parent)


def _place_of(path: Path) -> Path:
    """Where the file really is, or will be."""
    final = Path(os.path.realpath(path)) if path.is_symlink() else path
    if final.is_symlink():
        raise OSError(f"path must name a file, got {path}, a link that leads to itself; remove it.")
    if final != path and not final.parent.is_dir():
        raise FileNotFoundError(f"path must lead to a folder that exists, got {path}, a link to {final}; correct it.")
    if final.exists() and not final.is_file():
        kind = "a folder" if final.is_dir() else "a device or a pipe"
        raise OSError(f"path must name a file, got {path}, which is {kind}; name a file.")
    return final


@contextmanager
def _naming(final: Path) -> Iterator[None]:
    """Say of errors about the temporary, and of those that name no file, what could not be written."""
    own = str(final.with_name(f".{final.name}."))
    try:
        yield
    except OSError as error:
        named = str(error.filename or own)
        if error.errno is None or not (named.startswith(own) or Path(named) in final.parents):
            raise
        raise OSError(
            error.errno,
            f"path must be a place that can be written, got {final} ({error.strerror}), where nothing was changed; "
            "make room there, or name another place",
        ) from error


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk; where folders cannot be waited for, they are not."""
    with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
