# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The four disjoint parts of a data set, and the file that keeps them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from monai.utils.enums import StrEnum

from monai_coat.data.groups import allot, generator, group_of, shares, sorted_samples
from monai_coat.files.json import read_json, write_json

__all__ = ["Partition", "PartitionBy", "partition"]

FORMAT = "monai_coat partition"
VERSION = 1
PARTS = ("base_train", "threshold_train", "calibration", "test")
REMEDY = "save a partition there first, or make one from the data list"


class PartitionBy(StrEnum):
    """What is drawn when calibration and test images are told apart: single images, or whole groups."""

    IMAGE = "image"
    GROUP = "group"


@dataclass(frozen=True)
class Partition:
    """Four disjoint parts of a data list, with the draw that made them.

    No group has members in two of base training, threshold training and the rest (calibration and test together).
    A calibration is only as good as this: images seen in training look easier than new ones.

    Args:
        base_train: samples that train the segmenter (D1).
        threshold_train: samples that train the threshold predictor (D2).
        calibration: samples that set the cutoff.
        test: samples that judge it.
        seed: seed of the draw.
        by: how calibration and test were drawn, :class:`PartitionBy` or its string.

    Raises:
        ValueError: if parts overlap, a group straddles parts that must not share it, or ``by`` is unknown.

    Example:
        >>> samples = [{"id": str(i)} for i in range(4)]
        >>> parts = Partition(*([s] for s in samples), seed=0, by="image")
        >>> parts.part("calibration")
        [{'id': '2'}]
        >>> path = getfixture("tmp_path") / "partition.json"
        >>> parts.save(path)
        >>> Partition.load(path, samples) == parts
        True
    """

    base_train: tuple[dict[str, Any], ...]
    threshold_train: tuple[dict[str, Any], ...]
    calibration: tuple[dict[str, Any], ...]
    test: tuple[dict[str, Any], ...]
    seed: int
    by: str = PartitionBy.IMAGE

    def __post_init__(self) -> None:
        object.__setattr__(self, "by", _checked_by(self.by))
        for name in PARTS:
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _check_disjoint({name: {sample["id"] for sample in getattr(self, name)} for name in PARTS}, "sample")
        groups = {name: {group_of(sample) for sample in getattr(self, name)} for name in PARTS}
        if self.by == PartitionBy.IMAGE:
            groups["calibration and test"] = groups.pop("calibration") | groups.pop("test")
        _check_disjoint(groups, "group")

    @property
    def statement(self) -> str:
        """One sentence on what the exchangeability of calibration and test images rests on."""
        groups = [{group_of(sample) for sample in part} for part in (self.calibration, self.test)]
        counts = f"Calibration ({len(self.calibration)} images in {len(groups[0])} groups) and test "
        counts += f"({len(self.test)} images in {len(groups[1])} groups)"
        if self.by == PartitionBy.GROUP:
            return (
                f"{counts} share no group: whole groups were drawn at random, so groups are exchangeable, "
                "and images only as far as groups are many and alike."
            )
        shared = len(groups[0] & groups[1])
        scope = f"groups with images in both: {shared}, so nothing is claimed about images of new groups"
        return (
            f"{counts} were drawn at random image by image from one pool and are exchangeable by construction; "
            f"{scope if shared else 'they share no group'}."
        )

    def part(self, name: str) -> list[dict[str, Any]]:
        """Samples of one part as a list, for configuration files: ``$@partition.part('test')``.

        Args:
            name: ``"base_train"``, ``"threshold_train"``, ``"calibration"`` or ``"test"``.

        Raises:
            ValueError: if there is no such part.
        """
        if name not in PARTS:
            raise ValueError(f"name must be one of {', '.join(PARTS)}, got {name!r}; choose one of these parts.")
        return list(getattr(self, name))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ids, seed and kind of draw to a JSON file, whole or not at all; missing folders are made.

        Args:
            path: file to write.
        """
        ids = {name: [sample["id"] for sample in getattr(self, name)] for name in PARTS}
        content = {"format": FORMAT, "version": VERSION, "seed": int(self.seed), "by": str(self.by), "parts": ids}
        write_json(Path(path), content)

    @classmethod
    def load(cls, path: str | os.PathLike[str], datalist: Sequence[dict[str, Any]]) -> Partition:
        """Read a file that :meth:`save` wrote and attach the samples again by id.

        Args:
            path: file to read.
            datalist: the samples the partition was made from, in any order. Samples marked ``empty`` may be among
                them that the partition left out.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is no partition or of another version, if it and ``datalist`` do not have the same
                ids, or if parts overlap or share groups.
        """
        path = Path(path)
        content = read_json(path, "path", REMEDY)
        _check_content(content, path)
        by_id = {sample["id"]: sample for sample in sorted_samples(datalist, "datalist")}
        ids = {key for name in PARTS for key in content["parts"][name]}
        if missing := sorted(ids - by_id.keys()):
            raise ValueError(_mismatch("lacks", missing, path))
        if unknown := sorted(key for key in by_id.keys() - ids if not by_id[key].get("empty", False)):
            raise ValueError(_mismatch("has unknown", unknown, path))
        parts = {name: tuple(by_id[key] for key in content["parts"][name]) for name in PARTS}
        return cls(**parts, seed=content["seed"], by=content["by"])


def partition(
    datalist: Sequence[dict[str, Any]],
    fractions: Sequence[float] = (0.4, 0.25, 0.175, 0.175),
    seed: int = 0,
    by: str = PartitionBy.IMAGE,
    drop_empty: bool = False,
) -> Partition:
    """Divide a data list into base training, threshold training, calibration and test.

    Whole groups are first drawn for base training, threshold training and the rest. The rest is divided into
    calibration and test image by image, which makes the two exchangeable, or group by group, which asks how the method
    does on new groups. Both kinds give the same two training parts, so that one trained model serves both.

    The draw depends on ids, groups and ``seed``, not on the order of ``datalist``.

    Args:
        datalist: dictionaries with a string ``id`` and, optionally, ``group`` (default: its own id) and ``empty``.
        fractions: shares of samples for ``base_train``, ``threshold_train``, ``calibration`` and ``test``; positive,
            with sum 1. Sizes are exact without groups and otherwise as close as whole groups allow.
        seed: non-negative seed of the draw.
        by: how calibration and test are told apart, :class:`PartitionBy` or its string.
        drop_empty: leave out samples that are marked ``empty`` (no foreground).

    Returns:
        The parts, each sorted by id and with at least one sample.

    Raises:
        TypeError: if an id is no string or ``seed`` no integer.
        ValueError: if ``fractions`` or ``by`` are not as described, an id occurs twice, or there are too few groups.

    Example:
        >>> samples = [{"id": f"{i:03}", "group": f"patient{i // 2}"} for i in range(200)]
        >>> parts = partition(samples, seed=3)
        >>> len(parts.base_train), len(parts.threshold_train), len(parts.calibration), len(parts.test)
        (80, 50, 35, 35)
    """
    fractions = _checked_fractions(fractions)
    by = _checked_by(by)
    rng = generator(seed)
    samples = sorted_samples(datalist, "datalist")
    samples = [sample for sample in samples if not (drop_empty and sample.get("empty", False))]
    sizes = shares(len(samples), fractions)
    # The rest gets two groups even if images are drawn: so neither half of it is ever empty.
    base, threshold, rest = allot(samples, (*sizes[:2], sum(sizes[2:])), (1, 1, 2), rng)
    calibration, test = _halves(rest, fractions[2:], by, rng)
    return Partition(tuple(base), tuple(threshold), tuple(calibration), tuple(test), int(seed), by)


def _halves(
    rest: list[dict[str, Any]], fractions: Sequence[float], by: PartitionBy, rng: np.random.Generator
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Calibration and test out of what no model has seen."""
    sizes = shares(len(rest), fractions)
    if by == PartitionBy.GROUP:
        calibration, test = allot(rest, sizes, (1, 1), rng)
        return calibration, test
    chosen = set(rng.permutation(len(rest))[: min(max(sizes[0], 1), len(rest) - 1)].tolist())
    return [s for k, s in enumerate(rest) if k in chosen], [s for k, s in enumerate(rest) if k not in chosen]


def _checked_fractions(fractions: Sequence[float]) -> tuple[float, ...]:
    """Four positive shares of the whole."""
    values = tuple(float(fraction) for fraction in fractions)
    if len(values) != len(PARTS) or not all(value > 0 for value in values) or abs(sum(values) - 1) > 1e-6:
        raise ValueError(
            f"fractions must be {len(PARTS)} positive numbers with sum 1 ({', '.join(PARTS)}), got {values} with sum "
            f"{sum(values):g}; divide them by their sum."
        )
    return values


def _checked_by(by: str) -> PartitionBy:
    """The kind of draw, from its name."""
    try:
        return PartitionBy(by)
    except ValueError:
        known = " or ".join(repr(str(kind)) for kind in PartitionBy)
        raise ValueError(f"by must be {known}, got {by!r}; choose one of these.") from None


def _check_disjoint(members: dict[str, set[str]], what: str) -> None:
    """No member may be in two of the named sets."""
    for (one, first), (other, second) in combinations(members.items(), 2):
        if shared := sorted(first & second):
            raise ValueError(
                f"{one} and {other} must share no {what}, got {_few(shared)} in both; make the partition again."
            )


def _check_content(content: dict[str, Any], path: Path) -> None:
    """The file must be a partition of the version that is read here, with all of its entries."""
    if content.get("format") != FORMAT:
        raise ValueError(f"path must name a {FORMAT!r} file, got {path}, which is something else; {REMEDY}.")
    if content.get("version") != VERSION:
        raise ValueError(
            f"path must name a file of version {VERSION}, got {content.get('version')!r} in {path}; "
            "make the partition again or upgrade."
        )
    parts = content.get("parts")
    if not (isinstance(parts, dict) and set(parts) == set(PARTS) and {"seed", "by"} <= content.keys()):
        raise ValueError(f"path must name a whole partition, got {path}, where entries are missing; {REMEDY}.")
    seed, ids = content["seed"], list(parts.values())
    is_list = all(isinstance(part, list) and all(isinstance(key, str) for key in part) for part in ids)
    if not is_list or any(len(set(part)) < len(part) for part in ids):
        raise ValueError(f"parts must be lists of different ids, got something else in {path}; {REMEDY}.")
    if not isinstance(seed, int) or isinstance(seed, bool) or not isinstance(content["by"], str):
        raise ValueError(f"seed and by must be a whole number and a text, got something else in {path}; {REMEDY}.")


def _mismatch(verb: str, ids: Sequence[str], path: Path) -> str:
    """What to say of a data list that is not the one a saved partition was made from."""
    return (
        f"datalist must hold the samples of {path}, but it {verb} {_few(ids)}; pass the data list the partition was "
        "made from, or make a new partition and train and calibrate again."
    )


def _few(names: Sequence[str]) -> str:
    """The first three names and how many there are."""
    return ", ".join(repr(name) for name in names[:3]) + (f", ... ({len(names)} in all)" if len(names) > 3 else "")
