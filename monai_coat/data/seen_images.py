# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Images that a network, a scorer or a calibration has seen, known again by the bytes of their files."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from monai_coat.files import read_json, write_json

__all__ = ["image_files", "refuse_seen", "same_files", "save_seen"]

FORMAT, VERSION = "monai_coat images", 1
ENDING = ".images.json"
CHUNK, SAMPLES = 4096, 8

Sample = Mapping[str, Any]


def save_seen(made: str | os.PathLike[str], samples: Iterable[Sample]) -> None:
    """Write beside a file, such as a calibration, of which images it was made: ``<name>.images.json``.

    Args:
        made: the file.
        samples: dictionaries with ``id`` and the path ``image``, or several paths.

    Example:
        >>> folder = getfixture("tmp_path")
        >>> for name in ("calibration.json", "a.png", "b.png"):
        ...     _ = (folder / name).write_text(name)
        >>> save_seen(folder / "calibration.json", [{"id": "a", "image": folder / "a.png"}])
        >>> refuse_seen(folder / "calibration.json", [{"id": "b", "image": folder / "b.png"}])
    """
    images = {_digest(file): str(sample["id"]) for sample in samples for file in image_files(sample)}
    write_json(_beside(made), {"format": FORMAT, "version": VERSION, "of": _digest(made), "images": images})


def refuse_seen(made: str | os.PathLike[str], samples: Iterable[Sample]) -> None:
    """Refuse images that a file was made of, by whatever name.

    Args:
        made: the file, beside which :func:`save_seen` wrote.
        samples: images that must be others.

    Raises:
        FileNotFoundError: if nothing says of which images the file was made.
        ValueError: if that is said of another file, or an image is among them.
    """
    beside, again = _beside(made), f"run the step that writes {os.fspath(made)} again"
    content = read_json(beside, f"the list of images that {Path(made).name} was made of", again)
    images = content.get("images")
    if content.get("format") != FORMAT or content.get("version") != VERSION or not isinstance(images, dict):
        raise ValueError(f"{beside} must be a list of images in version {VERSION}, got something else; {again}.")
    if content.get("of") != _digest(made):
        raise ValueError(f"{beside} must be of {Path(made).name} as it is, got one of another; {again}.")
    for sample in samples:
        for digest in map(_digest, image_files(sample)):
            if digest in images:
                raise ValueError(
                    f"samples must be others than {Path(made).name} was made of, got {sample['id']!r}, which is "
                    f"{images[digest]!r} of them; keep to the parts that were drawn then, or {again}, and all after it."
                )


def image_files(sample: Sample) -> list[str]:
    """Files of a sample's image that are there; those of a folder, if it is one."""
    value = sample.get("image")
    paths = [
        path for path in (value if isinstance(value, list | tuple) else [value]) if isinstance(path, str | os.PathLike)
    ]
    found = [file for path in paths for file in (sorted(Path(path).iterdir()) if os.path.isdir(path) else [path])]
    return [os.fspath(file) for file in found if os.path.isfile(file)]


def same_files(files: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """Files with the bytes of one of the others, and that one.

    Sizes and some kilobytes tell nearly all files apart; only those that agree in them are read as a whole.

    Example:
        >>> folder = getfixture("tmp_path")
        >>> for name, content in (("a", "1"), ("b", "2"), ("c", "1")):
        ...     _ = (folder / name).write_text(content)
        >>> [Path(file).name for file in same_files([f"{folder}/a", f"{folder}/b"], [f"{folder}/c"])]
        ['a']
    """
    files, others = list(files), list(others)
    sizes = {os.path.getsize(file) for file in files} & {os.path.getsize(other) for other in others}
    alike: dict[bytes, list[str]] = defaultdict(list)
    for other in others:
        if os.path.getsize(other) in sizes:
            alike[_glance(other)].append(other)
    found: dict[str, str] = {}
    for file in files if alike else []:
        same = [other for other in alike.get(_glance(file), []) if _digest(other) == _digest(file)]
        found |= {file: same[0]} if same else {}
    return found


def _glance(file: str) -> bytes:
    """Size and some kilobytes of a file, evenly over it."""
    size = os.path.getsize(file)
    with open(file, "rb") as stream:
        parts = [_at(stream, size * place // SAMPLES) for place in range(SAMPLES)]
    return hashlib.sha256(b"".join([str(size).encode(), *parts])).digest()


def _at(stream: Any, place: int) -> bytes:
    stream.seek(place)
    return bytes(stream.read(CHUNK))


def _digest(file: str | os.PathLike[str]) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _beside(made: str | os.PathLike[str]) -> Path:
    return Path(f"{os.path.splitext(os.fspath(made))[0]}{ENDING}")
