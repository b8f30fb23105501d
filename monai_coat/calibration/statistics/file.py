# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The statistic of a site as a file, to be merged with others: counts travel, images stay."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from monai_coat.calibration.identity import PipelineIdentity
from monai_coat.calibration.statistics import STATISTICS
from monai_coat.calibration.statistics.binned import BinnedStatistic
from monai_coat.calibration.statistics.collected import CollectedStatistic
from monai_coat.calibration.statistics.npz import LARGEST, read_arrays
from monai_coat.files import replacing
from monai_coat.files.json import parse_json

__all__ = ["load_statistic", "merge_statistics", "save_statistic"]

FORMAT, VERSION = "monai_coat statistic", 2
SMALLEST = 10
"""Fewest images of a class in a file of sums: of few images, a sum tells about each."""


def save_statistic(collected: CollectedStatistic, path: str | os.PathLike[str], smallest: int = SMALLEST) -> None:
    """Write a statistic to an ``.npz`` file, whole or not at all; missing folders are made.

    A :class:`~monai_coat.calibration.BinnedStatistic` leaves sums over images alone; what these still tell is measured
    in ``docs/federated.md``. An exact statistic holds foreground scores image by image, without their places; it is for
    the workers of one site and must not leave it.

    Args:
        collected: what to write.
        path: file to write.
        smallest: fewest images with foreground of a class in a file of sums; a class without any is no matter.

    Raises:
        TypeError: if the statistic has no form in files.
        ValueError: if there are fewer images than ``smallest``, no image at all, or one that was counted twice.

    Example:
        >>> collected = CollectedStatistic(BinnedStatistic(0.0, 1.0), method="coat")
        >>> collected.update(torch.rand(12, 1, 8), torch.ones(12, 1, 8))
        >>> path = getfixture("tmp_path") / "north.npz"
        >>> save_statistic(collected, path)
        >>> load_statistic(path).statistic.n
        (12,)
    """
    if not isinstance(collected, CollectedStatistic):
        raise TypeError(
            f"collected must be a CollectedStatistic, got {type(collected).__name__}; fill one by "
            "CollectedStatistic(statistic).update(scores, labels), and give the path after it."
        )
    statistic = collected.statistic
    if STATISTICS.get(statistic.kind) is not type(statistic):
        raise TypeError(f"statistic must be one of {', '.join(STATISTICS)}, got {type(statistic).__name__}.")
    _check_counts(collected)
    _check_enough(collected, smallest, "join sites before they are written, or leave the class out")
    head = {
        "format": FORMAT,
        "version": VERSION,
        "kind": statistic.kind,
        "method": collected.method,
        "identity": collected.identity.to_json(),
        "images": sorted(collected.images),
    }
    arrays = _flat(statistic.state_dict())
    head["checksum"] = _checksum(head, arrays)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, head=np.array(json.dumps(head)), **arrays)  # type: ignore[arg-type]


def load_statistic(path: str | os.PathLike[str], largest: int = LARGEST) -> CollectedStatistic:
    """Read what :func:`save_statistic` wrote.

    A file may come from somebody whose program has a fault, and computes checksums as well: besides its checksum,
    everything in it must be possible and agree with the rest. What is larger than ``largest`` is not unpacked. Unknown
    entries in its head are passed over, unknown arrays are not.

    Args:
        path: file to read.
        largest: bytes that its arrays may have together.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is none of these, is damaged, contradicts itself, was edited, or is of another version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path must name a statistic file, got {path}, which does not exist or is no file.")
    try:
        return _collected(read_arrays(path, largest))
    except Exception as error:  # NumPy and zip raise a dozen kinds about damaged files
        said = {MemoryError: "it asks for more memory than there is", RecursionError: "its head is nested too deep"}
        text = said.get(type(error), str(error) or type(error).__name__)
        raise ValueError(f"path must name a statistic file of version {VERSION}, got {path} ({text}).") from None


def _collected(arrays: dict[str, NDArray[Any]]) -> CollectedStatistic:
    """The statistic that arrays hold, if all of them agree."""
    head = _head(arrays.pop("head", None))
    statistic = STATISTICS[head["kind"]]()
    statistic.load_state_dict(_nested(arrays))
    if head.pop("checksum") != _checksum(head, arrays):
        raise ValueError("it was changed after it was written: its checksum is another")
    identity = PipelineIdentity.from_json(head["identity"])
    collected = CollectedStatistic(statistic, identity, head["method"], head["images"])
    _check_counts(collected)
    return collected


def _head(text: NDArray[Any] | None) -> dict[str, Any]:
    if text is None or text.dtype.kind != "U" or text.ndim != 0:
        raise ValueError("it has no head in words")
    head = parse_json(str(text))
    if not isinstance(head, dict) or (head.get("format"), head.get("version")) != (FORMAT, VERSION):
        given = head if isinstance(head, dict) else {}
        raise ValueError(f"format {str(given.get('format'))[:80]!r}, version {str(given.get('version'))[:80]}")
    for name, kind in (("kind", str), ("method", str), ("checksum", str), ("images", list), ("identity", dict)):
        if not isinstance(head.get(name), kind):
            raise ValueError(f"{name} must be there, a {kind.__name__}")
    if head["kind"] not in STATISTICS:
        raise ValueError(f"kind must be one of {', '.join(STATISTICS)}, got {head['kind'][:80]!r}")
    return dict(head)


def merge_statistics(
    paths: Sequence[str | os.PathLike[str]], smallest: int = SMALLEST, largest: int = LARGEST
) -> CollectedStatistic:
    """Merge the files of several sites; the result is that of all images at once, to the bit.

    Args:
        paths: files of :func:`save_statistic`, each of other images.
        smallest: fewest images of a class in each file of sums, whatever its sender allowed.
        largest: bytes that a file's arrays may have together, see :func:`load_statistic`.

    Raises:
        ValueError: if there is no file, or two share an image, or they differ in kind, grid, classes, method, network
            or pipeline or in the parts of it that they name, or one holds fewer images than ``smallest``.

    Example:
        >>> folder = getfixture("tmp_path")
        >>> for name in ("north", "south"):
        ...     collected = CollectedStatistic(BinnedStatistic(0.0, 1.0))
        ...     collected.update(torch.rand(12, 1, 8), torch.ones(12, 1, 8))
        ...     save_statistic(collected, folder / f"{name}.npz")
        >>> merge_statistics([folder / "north.npz", folder / "south.npz"]).statistic.n
        (24,)
    """
    if not paths:
        raise ValueError("paths must name at least one statistic file, got none.")
    first, *rest = sites = [load_statistic(path, largest) for path in paths]
    for path, site in zip(paths, sites, strict=True):
        _check_enough(site, smallest, f"ask the sender of {path} to join it with others")
        _check_alike((paths[0], first), (path, site))
    _check_disjoint(paths, sites)
    for path, site in zip(paths[1:], rest, strict=True):
        try:
            first.merge(site)
        except ValueError as error:
            raise ValueError(f"paths must be of one grid and number of classes, got {path} ({error})") from None
    return first


def _check_alike(first: tuple[object, CollectedStatistic], other: tuple[object, CollectedStatistic]) -> None:
    """Refuse files of another kind, method or pipeline than the first."""
    mine, theirs = first[1], other[1]
    for name, one, two in (
        ("kind", mine.statistic.kind, theirs.statistic.kind),
        ("method", mine.method, theirs.method),
    ):
        if one != two:
            raise ValueError(f"paths must be of one {name}, got {one!r} in {first[0]} and {two!r} in {other[0]}.")
    differences = mine.identity.differences(theirs.identity)
    if differences:
        raise ValueError(f"paths must be of one pipeline, got {', '.join(differences)} in {first[0]} and {other[0]}.")
    # What one file does not name cannot be compared, and a third may name it otherwise.
    unnamed = sorted({*mine.identity.pipeline} ^ {*theirs.identity.pipeline})
    if unnamed:
        raise ValueError(
            f"paths must name the same parts of the pipeline, got {', '.join(unnamed)} in only one of {first[0]} "
            f"and {other[0]}; give every site the same pipeline={{...}} and collect again."
        )


def _check_counts(collected: CollectedStatistic) -> None:
    """Refuse more images of a class than there are tokens, or fewer in all: one was counted twice, or n was edited."""
    n, n_empty = collected.statistic.n, collected.statistic.n_empty
    if not sum(n):
        raise ValueError("statistic must hold at least one image with foreground, got none; collect first")
    most = max(n)
    if len(collected.images) > n[0] + n_empty[0]:
        raise ValueError(f"statistic must have one token per image, got {len(collected.images)} of {n[0] + n_empty[0]}")
    if most > len(collected.images):
        raise ValueError(
            f"statistic must count each image once, got {most} images of a class and {len(collected.images)} tokens of "
            "images; fill it by CollectedStatistic.update, each image once"
        )


def _check_enough(collected: CollectedStatistic, smallest: int, remedy: str) -> None:
    few = [n for n in collected.statistic.n if 0 < n < smallest]
    if few and isinstance(collected.statistic, BinnedStatistic):
        raise ValueError(
            f"statistic must hold at least {smallest} images of each class that it has any of, got {few[0]}; {remedy}."
        )


def _check_disjoint(paths: Sequence[str | os.PathLike[str]], sites: Sequence[CollectedStatistic]) -> None:
    """Refuse images that are in two files: they would count twice, and the difference of the files would be theirs."""
    seen: dict[str, object] = {}
    for path, site in zip(paths, sites, strict=True):
        twice = [token for token in site.images if token in seen]
        if twice:
            raise ValueError(
                f"paths must be of different images, got {len(twice)} that are in {seen[twice[0]]} and in {path}; "
                "collect each image once."
            )
        seen |= dict.fromkeys(site.images, path)


def _flat(state: Mapping[str, Any], prefix: str = "") -> dict[str, NDArray[Any]]:
    """Nested tensors and numbers as arrays, by path."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, value in state.items():
        arrays |= _flat(value, f"{prefix}{name}/") if isinstance(value, dict) else {prefix + name: np.asarray(value)}
    return arrays


def _nested(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """What :func:`_flat` flattened, a folder deep."""
    state: dict[str, Any] = {}
    for path, array in arrays.items():
        folder, _, name = path.rpartition("/")
        place = state.setdefault(folder, {}) if folder else state
        if not isinstance(place, dict) or name in place:
            raise ValueError(f"arrays must have names of their own, got {path[:80]!r}")
        place[name] = torch.from_numpy(array)
    return state


def _checksum(head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps(dict(head), sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}\n".encode() + arrays[name].tobytes())
    return digest.hexdigest()
