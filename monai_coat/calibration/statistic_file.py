# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A shard's statistic as a file, to be merged with others: counts travel, images stay."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from monai_coat.calibration.binned import BinnedStatistic
from monai_coat.calibration.risks import FalseAlarmStatistic
from monai_coat.calibration.statistics import CoverageStatistic

__all__ = ["Shard", "load_statistic", "merge_statistics", "save_statistic"]

FORMAT, VERSION = "monai_coat statistic", 1
KINDS: dict[str, type[Any]] = {
    "binned": BinnedStatistic,
    "scores": CoverageStatistic,
    "background scores": FalseAlarmStatistic,
}

Statistic = BinnedStatistic | CoverageStatistic


@dataclass(frozen=True)
class Shard:
    """A statistic and where it comes from.

    Attributes:
        statistic: what was collected.
        network: fingerprint of the network that made the scores; empty if not said.
        method: name of the scorer; empty if not said.
    """

    statistic: Statistic
    network: str = ""
    method: str = ""


def save_statistic(shard: Shard, path: str | os.PathLike[str], smallest: int = 10) -> None:
    """Write a statistic to an ``.npz`` file, whole or not at all; missing folders are made.

    A :class:`~monai_coat.calibration.BinnedStatistic` leaves sums over images alone. Of few images a sum would tell
    about each: fewer than ``smallest`` of a class are not written. An exact statistic holds foreground scores image by
    image, without their places; it is for the workers of one house and must not leave it.

    Args:
        shard: what to write.
        path: file to write.
        smallest: fewest images with foreground of a class in a file of sums; a class without any is no matter.

    Raises:
        ValueError: if there are fewer; or if the statistic holds no image.

    Example:
        >>> statistic = BinnedStatistic(0.0, 1.0)
        >>> statistic.update(torch.rand(12, 1, 8), torch.ones(12, 1, 8))
        >>> path = getfixture("tmp_path") / "north.npz"
        >>> save_statistic(Shard(statistic, method="coat"), path)
        >>> load_statistic(path).statistic.n
        (12,)
    """
    statistic, path = shard.statistic, Path(path)
    if not sum(statistic.n):
        raise ValueError("statistic must hold at least one image with foreground, got none; collect first.")
    few = [n for n in statistic.n if 0 < n < smallest]
    if few and isinstance(statistic, BinnedStatistic):
        raise ValueError(
            f"statistic must hold at least {smallest} images of each class that it has any of, got {few[0]}; join "
            "shards before they are written, or leave the class out."
        )
    kind = next(name for name, each in KINDS.items() if type(statistic) is each)
    head = {"format": FORMAT, "version": VERSION, "kind": kind, "network": shard.network, "method": shard.method}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez_compressed(file, head=np.array(json.dumps(head)), **_arrays(statistic))  # type: ignore[arg-type]
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_statistic(path: str | os.PathLike[str]) -> Shard:
    """Read what :func:`save_statistic` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is none of these, is damaged, or of a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path must name a statistic file, got {path}, which does not exist.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
        head = json.loads(str(arrays.pop("head")))
        if head["format"] != FORMAT or head["version"] != VERSION:
            raise ValueError(f"format {head['format']!r}, version {head['version']!r}")
        return Shard(_statistic(head["kind"], arrays), str(head["network"]), str(head["method"]))
    except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"path must name a statistic file of version {VERSION}, got {path} ({error}).") from None


def merge_statistics(paths: Sequence[str | os.PathLike[str]]) -> Shard:
    """Merge files of several shards; the result is that of all images at once, to the bit.

    Args:
        paths: files of :func:`save_statistic`, each of other images.

    Raises:
        ValueError: if there is no file, one is given twice, or they differ in kind, grid, classes, network or method.

    Example:
        >>> folder = getfixture("tmp_path")
        >>> for name in ("north", "south"):
        ...     statistic = BinnedStatistic(0.0, 1.0)
        ...     statistic.update(torch.rand(12, 1, 8), torch.ones(12, 1, 8))
        ...     save_statistic(Shard(statistic), folder / f"{name}.npz")
        >>> merge_statistics([folder / "north.npz", folder / "south.npz"]).statistic.n
        (24,)
    """
    if not paths:
        raise ValueError("paths must name at least one statistic file, got none.")
    first, *rest = shards = [load_statistic(path) for path in paths]
    seen: dict[str, Any] = {}
    for path, shard in zip(paths, shards, strict=True):
        for name, mine, theirs in (
            ("kind", type(first.statistic).__name__, type(shard.statistic).__name__),
            ("network", first.network[:12], shard.network[:12]),
            ("method", first.method, shard.method),
        ):
            if mine != theirs:
                raise ValueError(f"paths must be of one {name}, got {mine!r} in {paths[0]} and {theirs!r} in {path}.")
        content = _digest(shard.statistic)
        if content in seen:
            raise ValueError(
                f"paths must be of different images, got the same statistic in {seen[content]} and {path}."
            )
        seen[content] = path
    for path, shard in zip(paths[1:], rest, strict=True):
        try:
            first.statistic.merge(shard.statistic)  # type: ignore[arg-type]
        except ValueError as error:
            raise ValueError(f"paths must be of one grid and number of classes, got {path} ({error})") from None
    return first


def _arrays(statistic: Statistic) -> dict[str, NDArray[Any]]:
    state = statistic.state_dict()
    if isinstance(statistic, BinnedStatistic):
        return {"rates": state["rates"].numpy(), "n": state["n"].numpy(), "grid": np.array(state["grid"])}
    return {f"{index}_{name}": np.asarray(value) for index, pool in state.items() for name, value in pool.items()}


def _statistic(kind: str, arrays: dict[str, NDArray[Any]]) -> Statistic:
    statistic: Statistic = KINDS[kind]()
    if isinstance(statistic, BinnedStatistic):
        low, high, bins = arrays["grid"].tolist()
        state: dict[str, Any] = {"grid": (low, high, int(bins))}
        state |= {name: torch.from_numpy(arrays[name]) for name in ("rates", "n")}
        if arrays["rates"].shape != (arrays["n"].shape[1], int(bins) + 1):
            raise ValueError(f"rates have the shape {arrays['rates'].shape}")
    else:
        classes = {name.partition("_")[0] for name in arrays}
        names = ("scores", "sizes", "positions", "n_empty")
        state = {k: {name: torch.from_numpy(arrays[f"{k}_{name}"]) for name in names} for k in classes}
    statistic.load_state_dict(state)
    return statistic


def _digest(statistic: Statistic) -> str:
    arrays = _arrays(statistic)
    return hashlib.sha256(b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays))).hexdigest()
