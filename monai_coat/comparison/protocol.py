# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The protocol of a comparison: what is compared on what, as data."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from monai_coat.files import read_json
from monai_coat.functional import exact_level
from monai_coat.scorers import method_of

__all__ = ["Group", "MethodSettings", "Protocol", "digest_of", "load_protocol"]

FOLDER = Path(__file__).with_name("protocols")


@dataclass(frozen=True)
class Group:
    """A data set, a segmenter and a level, at which all methods are compared with each other."""

    dataset: str
    network: str
    alpha: float

    def __str__(self) -> str:
        return f"{self.dataset}-{self.network}-{self.alpha:g}"


@dataclass(frozen=True)
class MethodSettings:
    """The settings of a method of a protocol.

    Attributes:
        fit: name of a row of :data:`monai_coat.scorers.METHODS`, or the dotted path of a fit from elsewhere.
        arguments: arguments of the fit.
        cross_fit: whether the method learns from the segmenter's own training images too, each with the map of a
            segmenter that was trained without it.
    """

    fit: str
    arguments: Mapping[str, Any]
    cross_fit: bool = False


@dataclass(frozen=True)
class Protocol:
    """What a comparison runs.

    Attributes:
        name: name of the protocol.
        datasets: by name, ``domain`` of the data collection, perhaps ``sources``, and ``epochs`` of the segmenters. Or,
            for maps that are there already, ``model`` of the collection in place of epochs, or the folders ``probs``
            (or ``masks``), ``labels`` and perhaps ``images``, with the ``class`` that is compared and what the files do
            not say: ``classes``, ``axes``, ``map_suffix``, ``mask_threshold``. Or ``generate``, arguments for generated
            images.
        networks: segmenters by name, as configurations with ``_target_``.
        methods: methods by name, each an object with ``fit``, its arguments, and perhaps ``cross_fit``; see
            :class:`MethodSettings`.
        reference: the method that all others are compared with.
        default: the method that is recommended.
        highlighted: further methods that figures show beside these two. The loss of the first of them that has one is
            drawn.
        alphas: levels.
        splits: number of draws of calibration and test images.
        group_splits: number of draws of the same from whole groups, such as videos, beside them; 0, or an even
            number from 4 on, since each draw is taken both ways round. Not for volumes.
        fractions: shares of the four parts, as :func:`~monai_coat.data.partition` takes them.
        image_size: height and width of the images that everything is done at.
        batch_size, learning_rate: of the segmenters' training.
        seed: of partition, training and splits.
        repeats: draws of the training images, over which the splits are dealt out. More than one needs saved
            predictions or a study, as each would take a segmenter.
        study: whether the images that thresholds are learned from are divided among training and pool, so that
            choices can be made without a look at calibration and test images.
    """

    name: str
    datasets: Mapping[str, Mapping[str, Any]]
    networks: Mapping[str, Mapping[str, Any]]
    methods: Mapping[str, Mapping[str, Any]]
    reference: str
    default: str
    highlighted: tuple[str, ...] = ()
    alphas: tuple[float, ...] = (0.1, 0.2)
    splits: int = 20
    group_splits: int = 0
    fractions: tuple[float, ...] = (0.4, 0.25, 0.175, 0.175)
    image_size: tuple[int, int] = (96, 96)
    batch_size: int = 16
    learning_rate: float = 0.002
    seed: int = 0
    repeats: int = 1
    study: bool = False

    def groups(self) -> Iterator[Group]:
        """Data sets by networks by levels, in the order of the protocol."""
        for dataset in self.datasets:
            for network in self.networks:
                for alpha in self.alphas:
                    yield Group(dataset, network, alpha)

    def settings_of(self, method: str) -> MethodSettings:
        """The settings of one of the methods."""
        content = self.methods[method]
        arguments = {name: value for name, value in content.items() if name not in ("fit", "cross_fit")}
        return MethodSettings(content["fit"], arguments, content.get("cross_fit", False))

    def images_to_calibrate(self, pool: int) -> int:
        """How many images of a pool of this size a split calibrates on; it tests on the others."""
        return round(self.fractions[2] / sum(self.fractions[2:]) * pool)

    @property
    def shown(self) -> tuple[str, ...]:
        """The methods that figures show, in the order of the protocol."""
        return tuple(name for name in self.methods if name in {self.reference, self.default, *self.highlighted})


def load_protocol(name: str | os.PathLike[str]) -> Protocol:
    """Read a protocol from a JSON file, or one of this package's.

    These are "paper", "paper_small", "predictions", "quick", "study" and "volumes".

    Raises:
        FileNotFoundError: if there is neither such a file nor such a name.
        ValueError: if the file is no protocol, a method has no fit, or a value is out of range.

    Example:
        >>> protocol = load_protocol("paper")
        >>> len(list(protocol.groups())), protocol.splits
        (24, 20)
    """
    path = Path(name) if str(name).endswith(".json") else FOLDER / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json")))
        raise FileNotFoundError(f"protocol must be a JSON file or one of {known}, got {name}; correct the name.")
    content = read_json(path, "protocol", "correct it")
    try:
        content |= {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
        protocol = Protocol(**content)
    except (ValueError, TypeError, AttributeError) as error:
        known = ", ".join(field.name for field in fields(Protocol))
        raise ValueError(f"protocol must be a JSON object with {known}, got {path} ({error}); correct it.") from None
    _check(protocol, path)
    return protocol


def _check(protocol: Protocol, path: Path) -> None:
    """Refuse what would stop a run after hours."""
    for alpha in protocol.alphas:
        exact_level(alpha)
    for name, settings in protocol.methods.items():
        if "fit" not in settings:
            raise ValueError(f"methods must each have a fit, got {dict(settings)} for {name!r} in {path}; name one.")
        method_of(settings["fit"])
    named = [("reference", protocol.reference), ("default", protocol.default)]
    for field, name in [*named, *(("highlighted", name) for name in protocol.highlighted)]:
        if name not in protocol.methods:
            known = ", ".join(protocol.methods)
            raise ValueError(f"{field} must be one of the methods, got {name!r} in {path}; take one of {known}.")
    _check_splits(protocol, path)


def _check_splits(protocol: Protocol, path: Path) -> None:
    if protocol.splits < 2:
        raise ValueError(f"splits must be at least 2, got {protocol.splits} in {path}; a spread needs two.")
    if protocol.group_splits != 0 and (protocol.group_splits < 4 or protocol.group_splits % 2):
        raise ValueError(
            f"group_splits must be 0 or an even number from 4 on, got {protocol.group_splits} in {path}; draws are "
            "taken both ways round, and a spread needs two."
        )
    if not 1 <= protocol.repeats <= protocol.splits:
        raise ValueError(
            f"repeats must be between 1 and the number of splits, {protocol.splits}, got {protocol.repeats} in {path}; "
            "each repeat needs a split."
        )


def digest_of(content: Any) -> str:
    """Twelve hexadecimal digits that change with the content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
