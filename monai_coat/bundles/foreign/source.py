# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The configs of a bundle that somebody else wrote, read and followed, but not run.

Tested by tests/bundles/foreign/test_facts.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from monai_coat.bundles.steps import read_metadata

__all__ = ["BundleIds", "Entry", "Source", "target_of"]

ENDINGS = (".json", ".yaml", ".yml")
REFERENCE = r"@[\w.]+(?:(?:#|::)[\w.]+)*"
TERM = rf"(?:list\(\s*)?{REFERENCE}(?:\s*\))?"
SUM = re.compile(rf"\$\s*{TERM}(?:\s*\+\s*{TERM})*\s*")
UNPACKED = re.compile(rf"\$\s*\[\s*\*\s*{REFERENCE}(?:\s*,\s*\*\s*{REFERENCE})*\s*,?\s*\]\s*")


@dataclass(frozen=True)
class BundleIds:
    """Ids of a bundle's config items; these are the ones of MONAI's model zoo.

    The first six are of the config for inference, ``label_preprocessing`` is of the one for training.
    """

    network_def: str = "network_def"
    inferer: str = "inferer"
    preprocessing: str = "preprocessing"
    postprocessing: str = "postprocessing"
    dataset: str = "dataset"
    evaluator: str = "evaluator"
    label_preprocessing: str = "validate::preprocessing"

    def option(self, name: str) -> str:
        """The option of the command that gives another id."""
        return f"--{name.replace('_', '-')}"


@dataclass(frozen=True)
class Entry:
    """A transform, or another component, as it is written in a config.

    Attributes:
        id: where it stands, so that it can be referred to.
        config: what stands there.
    """

    id: str
    config: Mapping[str, Any]

    @property
    def target(self) -> str:
        """Name of the class, without its module and without the ``d`` of a dictionary transform."""
        return re.sub(r"(d|D|Dict)$", "", target_of(self.config))

    def keys(self, source: Source) -> tuple[str, ...]:
        """Keys that the transform is for, references followed."""
        return tuple(map(str, source.items(self.config.get("keys", ()))))


@dataclass(frozen=True)
class Source:
    """A bundle's configs for training and inference, merged as MONAI merges a list of them, and its metadata.

    Nothing is instantiated and no expression is evaluated: weights, data and devices need not be there.

    Attributes:
        folder: the bundle.
        ids: what is called how in it.
        files: names of the configs, first to last.
        training: config for training; empty if there is none.
        inference: config for inference.
        metadata: the bundle's metadata; empty if there are none.
    """

    folder: Path
    ids: BundleIds
    files: tuple[str, ...]
    training: dict[str, Any]
    inference: dict[str, Any]
    metadata: dict[str, Any]

    @classmethod
    def read(cls, folder: Path, ids: BundleIds) -> Source:
        """Read a bundle.

        Raises:
            FileNotFoundError: if there is no config for inference.
        """
        train, inference = _file(folder, "train"), _file(folder, "inference")
        if inference is None:
            raise FileNotFoundError(
                f"bundle must hold configs/inference.json or .yaml, got {folder}; a calibration is of the steps that "
                "users run, so write that config first."
            )
        configs = [dict(ConfigParser.load_config_file(file)) if file else {} for file in (train, inference)]
        names = tuple(file.name for file in (train, inference) if file)
        return cls(folder, ids, names, configs[0], configs[1], read_metadata(folder))

    @cached_property
    def config(self) -> dict[str, Any]:
        """Both configs; of an id that is in both, the one for inference."""
        return self.training | self.inference

    def get(self, id_: str) -> Any:
        """What stands at an id, as written; None if nothing does."""
        value: Any = self.config
        for part in re.split("#|::", id_):
            value = self.followed(value)
            if isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            elif isinstance(value, Mapping) and part in value:
                value = value[part]
            else:
                return None
        return value

    def referred(self, value: Any) -> str:
        """The id that a whole value refers to, by ``@`` or ``%``; empty if it does not."""
        found = re.fullmatch(r"[@%]([\w.]+(?:(?:#|::)[\w.]+)*)", value) if isinstance(value, str) else None
        return found[1].replace("#", "::") if found else ""

    def followed(self, value: Any) -> Any:
        """A value, references followed to what stands at their end; an expression stays as it is."""
        seen: set[str] = set()
        while (id_ := self.referred(value)) and id_ not in seen:
            seen.add(id_)
            value = self.get(id_)
        return value

    def items(self, value: Any) -> list[Any]:
        """A value, or the values of a list, with references followed."""
        value = self.followed(value)
        return [self.followed(item) for item in value] if isinstance(value, list | tuple) else [value]

    def required(self, name: str) -> Any:
        """What stands at one of the bundle's ids.

        Raises:
            ValueError: if nothing does, naming the option that gives another id.
        """
        id_ = getattr(self.ids, name)
        found = self.followed(self.get(id_))
        if found is None:
            known = ", ".join(list(self.inference)[:40])
            raise ValueError(
                f"bundle must have the id {id_!r} in {self.files[-1]}, got {known}; say what it is called there with "
                f"{self.ids.option(name)}."
            )
        return found

    def transforms(self, id_: str) -> list[Entry]:
        """The transforms of a ``Compose`` or a list, in the order in which they run.

        Raises:
            ValueError: if the list is an expression that cannot be followed.
        """
        value = self.get(id_)
        if self.referred(value):
            return self.transforms(self.referred(value))
        if isinstance(value, Mapping):
            return self.transforms(f"{id_}::transforms") if target_of(value) == "Compose" else [Entry(id_, value)]
        if isinstance(value, list):
            return [entry for index in range(len(value)) for entry in self.transforms(f"{id_}::{index}")]
        if isinstance(value, str) and (SUM.fullmatch(value) or UNPACKED.fullmatch(value)):
            return [entry for name in re.findall(REFERENCE, value) for entry in self.transforms(self.referred(name))]
        options = [self.ids.option(name) for name, own in vars(self.ids).items() if id_ == own]
        remedy = f"give the id of one with {options[0]}" if options else "write it as one"
        raise ValueError(f"{id_} must be a list of transforms, or a sum of such lists, got {value!r}; {remedy}.")

    def components(self, name: str) -> Iterator[Entry]:
        """All components of a class in the config for inference."""
        yield from _components(self.inference, name, "")


def _file(folder: Path, name: str) -> Path | None:
    """The config of a step, or None."""
    places = (folder / "configs" / f"{name}{ending}" for ending in ENDINGS)
    return next((place for place in places if place.is_file()), None)


def _components(value: Any, name: str, place: str) -> Iterator[Entry]:
    if isinstance(value, Mapping) and target_of(value) == name:
        yield Entry(place, value)
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield from _components(item, name, f"{place}::{key}" if place else str(key))


def target_of(config: Any) -> str:
    """Name of a component's class without its module; empty if it is no component.

    Example:
        >>> target_of({"_target_": "monai.transforms.Compose"})
        'Compose'
    """
    return str(config.get("_target_", "")).rpartition(".")[2] if isinstance(config, Mapping) else ""
