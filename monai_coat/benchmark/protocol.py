# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A benchmark's protocol: what is compared on what, as data."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from monai_coat.functional import exact_level

__all__ = ["Group", "Protocol", "digest_of", "load_protocol", "protocol_of_folder"]

FOLDER = Path(__file__).with_name("protocols")


@dataclass(frozen=True)
class Group:
    """One line of the comparison: all methods, on one data set with one segmenter at one level."""

    dataset: str
    network: str
    alpha: float

    def __str__(self) -> str:
        return f"{self.dataset}-{self.network}-{self.alpha:g}"


@dataclass(frozen=True)
class Protocol:
    """What a benchmark runs.

    Attributes:
        name: name of the protocol.
        datasets: by name, ``domain`` of the data collection, perhaps ``sources``, and ``epochs`` of the segmenters. Or,
            for maps that are there already, ``model`` of the collection in place of epochs, or the folders ``probs``,
            ``labels`` and perhaps ``images``. Or ``generate``, arguments for generated images.
        networks: segmenters by name, as configurations with ``_target_``.
        methods: methods by name, each with a ``fit`` of :mod:`monai_coat.benchmark.methods` and its arguments.
        default: the method that is recommended.
        alphas: levels.
        splits: number of draws of calibration and test images.
        fractions: shares of the four parts, as :func:`~monai_coat.data.partition` takes them.
        image_size: height and width of the images that everything is done at.
        batch_size, learning_rate: of the segmenters' training.
        seed: of partition, training and splits.
        rounds: draws of the training images, over which the splits are dealt out. More than one needs saved
            predictions or a study, as each would take a segmenter.
        study: whether the images that thresholds are learned from are divided among training and pool, so that
            choices can be made without a look at calibration and test images.
    """

    name: str
    datasets: Mapping[str, Mapping[str, Any]]
    networks: Mapping[str, Mapping[str, Any]]
    methods: Mapping[str, Mapping[str, Any]]
    default: str
    alphas: tuple[float, ...] = (0.1, 0.2)
    splits: int = 20
    fractions: tuple[float, ...] = (0.4, 0.25, 0.175, 0.175)
    image_size: tuple[int, int] = (96, 96)
    batch_size: int = 16
    learning_rate: float = 0.002
    seed: int = 0
    rounds: int = 1
    study: bool = False

    def groups(self) -> Iterator[Group]:
        """Data sets by networks by levels, in the order of the protocol."""
        for dataset in self.datasets:
            for network in self.networks:
                for alpha in self.alphas:
                    yield Group(dataset, network, alpha)


def load_protocol(name: str | os.PathLike[str]) -> Protocol:
    """Read a protocol from a JSON file, or one of this package's by name: "paper", "predictions" or "quick".

    Raises:
        FileNotFoundError: if there is neither such a file nor such a name.
        ValueError: if the file is no protocol, or a value is out of range.

    Example:
        >>> protocol = load_protocol("paper")
        >>> len(list(protocol.groups())), protocol.splits
        (24, 20)
    """
    path = Path(name) if str(name).endswith(".json") else FOLDER / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json")))
        raise FileNotFoundError(f"protocol must be a JSON file or one of {known}, got {name}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content |= {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
        protocol = Protocol(**content)
    except (ValueError, TypeError, AttributeError) as error:
        known = ", ".join(field.name for field in fields(Protocol))
        raise ValueError(f"protocol must be a JSON object with {known}, got {path} ({error}).") from None
    for alpha in protocol.alphas:
        exact_level(alpha)
    if protocol.default not in protocol.methods:
        raise ValueError(f"default must be one of the methods, got {protocol.default!r} in {path}.")
    if protocol.splits < 2:
        raise ValueError(f"splits must be at least 2, got {protocol.splits} in {path}; a spread needs two.")
    if not 1 <= protocol.rounds <= protocol.splits:
        raise ValueError(
            f"rounds must be between 1 and the number of splits, {protocol.splits}, got {protocol.rounds} in {path}."
        )
    return protocol


def protocol_of_folder(
    protocol: Protocol,
    probs: str | os.PathLike[str] | None,
    labels: str | os.PathLike[str] | None,
    images: str | os.PathLike[str] | None,
) -> Protocol:
    """A protocol such as "predictions" on probability maps of one's own, with the masks of the same names.

    Raises:
        ValueError: if one of the two folders is not named.
    """
    if probs is None or labels is None:
        raise ValueError("probs and labels must both name a folder, got one without the other.")
    folders = {"probs": str(Path(probs).absolute()), "labels": str(Path(labels).absolute())}
    if images is not None:
        folders["images"] = str(Path(images).absolute())
    return replace(protocol, datasets={"yours": folders}, networks={"saved maps": {}})


def digest_of(content: Any) -> str:
    """Twelve hexadecimal digits that change with the content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
