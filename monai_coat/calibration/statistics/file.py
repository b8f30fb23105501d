# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The statistic of a site as a file or a message, to be merged with others: counts travel, images stay."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from monai_coat.calibration.identity import PipelineIdentity
from monai_coat.calibration.risks import risk_named
from monai_coat.calibration.statistics import STATISTICS
from monai_coat.calibration.statistics.base import Statistic
from monai_coat.calibration.statistics.collected import CollectedStatistic
from monai_coat.calibration.statistics.merging import SMALLEST, check_enough
from monai_coat.calibration.statistics.npz import LARGEST, arrays_of, read_arrays, write_arrays
from monai_coat.calibration.statistics.shares import FALSE_NEGATIVES, ShareStatistic
from monai_coat.files import replacing
from monai_coat.files.json import parse_json

__all__ = ["load_statistic", "pack_statistic", "save_statistic", "unpack_statistic"]

FORMAT, VERSION = "monai_coat statistic", 2
VERSION_OF_RISKS = 3
"""Of files that name their risk: a release that does not know the entry would take them for false negative rates."""


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
        >>> from monai_coat.calibration import BinnedStatistic
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
    arrays = _content(collected, smallest)
    with replacing(path) as temporary, temporary.open("wb") as file:
        write_arrays(file, arrays)


def pack_statistic(collected: CollectedStatistic, smallest: int = SMALLEST) -> bytes:
    """The bytes of the file that :func:`save_statistic` would write: what travels where messages do.

    Args:
        collected: what to send.
        smallest: fewest images with foreground of a class in a message of sums.

    Raises:
        TypeError: as :func:`save_statistic`.
        ValueError: as :func:`save_statistic`.

    Example:
        >>> from monai_coat.calibration import BinnedStatistic
        >>> collected = CollectedStatistic(BinnedStatistic(0.0, 1.0), method="coat")
        >>> collected.update(torch.rand(12, 1, 8), torch.ones(12, 1, 8))
        >>> unpack_statistic(pack_statistic(collected), "north").statistic.n
        (12,)
    """
    message = io.BytesIO()
    write_arrays(message, _content(collected, smallest))
    return message.getvalue()


def _content(collected: CollectedStatistic, smallest: int) -> dict[str, NDArray[Any]]:
    """Head and arrays of a statistic that may be written."""
    statistic = collected.statistic
    if STATISTICS.get(statistic.kind) is not type(statistic):
        raise TypeError(f"statistic must be one of {', '.join(STATISTICS)}, got {type(statistic).__name__}.")
    _check_counts(collected)
    check_enough(collected, smallest, "join sites before they are written, or leave the class out")
    named = _named_risk(statistic)
    head = {
        "format": FORMAT,
        "version": VERSION_OF_RISKS if named else VERSION,
        "kind": statistic.kind,
        "method": collected.method,
        "identity": collected.identity.to_json(),
        "images": sorted(collected.images),
        **named,
    }
    arrays = _flat(statistic.state_dict())
    head["checksum"] = _checksum(head, arrays)
    return {"head": np.array(json.dumps(head)), **arrays}


def _named_risk(statistic: Statistic) -> dict[str, str]:
    """The entry of a share risk other than the one that a statistic is of if nothing is said."""
    is_named = isinstance(statistic, ShareStatistic) and statistic.measures != FALSE_NEGATIVES.key
    return {"risk": statistic.measures} if is_named else {}


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
    return _read("path", str(path), lambda: read_arrays(path, largest))


def unpack_statistic(content: bytes, sender: str, largest: int = LARGEST) -> CollectedStatistic:
    """The statistic in a message, believed as little as a file, see :func:`load_statistic`.

    Args:
        content: what :func:`pack_statistic` gave.
        sender: who sent it, for messages.
        largest: bytes that its arrays may have together.

    Raises:
        TypeError: if the content is no bytes.
        ValueError: if it is something else, is damaged, contradicts itself, was edited, or is of another version.
    """
    if not isinstance(content, bytes):
        raise TypeError(f"content must be the bytes of a statistic, got {type(content).__name__} from {sender}.")
    return _read("content", sender, lambda: arrays_of(content, largest))


def _read(argument: str, place: str, arrays: Callable[[], dict[str, NDArray[Any]]]) -> CollectedStatistic:
    try:
        return _collected(arrays())
    except Exception as error:  # NumPy and zip raise a dozen kinds about damaged files
        said = {MemoryError: "it asks for more memory than there is", RecursionError: "its head is nested too deep"}
        text = said.get(type(error), str(error) or type(error).__name__)
        what = "name a statistic file" if argument == "path" else "be a statistic"
        raise ValueError(f"{argument} must {what} of version {VERSION}, got {place} ({text}).") from None


def _collected(arrays: dict[str, NDArray[Any]]) -> CollectedStatistic:
    """The statistic that arrays hold, if all of them agree."""
    head = _head(arrays.pop("head", None))
    statistic = STATISTICS[head["kind"]]()
    if head["version"] == VERSION_OF_RISKS:
        risk = risk_named(str(head.get("risk")))
        if not isinstance(statistic, ShareStatistic) or not risk.is_share:
            raise ValueError(f"risk must be a share of scores, got {risk.key!r} of {head['kind']!r}")
        statistic = type(statistic)(risk=risk)  # type: ignore[call-arg]
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
    if not isinstance(head, dict) or (head.get("format"), head.get("version")) not in _FORMATS:
        given = head if isinstance(head, dict) else {}
        raise ValueError(f"format {str(given.get('format'))[:80]!r}, version {str(given.get('version'))[:80]}")
    for name, kind in (("kind", str), ("method", str), ("checksum", str), ("images", list), ("identity", dict)):
        if not isinstance(head.get(name), kind):
            raise ValueError(f"{name} must be there, a {kind.__name__}")
    if head["kind"] not in STATISTICS:
        raise ValueError(f"kind must be one of {', '.join(STATISTICS)}, got {head['kind'][:80]!r}")
    return dict(head)


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


_FORMATS = ((FORMAT, VERSION), (FORMAT, VERSION_OF_RISKS))


def _checksum(head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps(dict(head), sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}\n".encode() + arrays[name].tobytes())
    return digest.hexdigest()
