# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What can be told of a bundle's network from its configs: activation, classes and dimensions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from monai_coat.bundles.foreign.source import Source

__all__ = ["Facts", "Given", "facts_of"]

ACTIVATIONS = ("softmax", "sigmoid")
OUTPUTS = ("out_channels", "num_classes", "out_chns")
INPUTS = ("in_channels", "in_chns")
BACKGROUND = re.compile(r"back[\s_-]*ground|bkg|bg", re.IGNORECASE)
FORBIDDEN = re.compile(r"[/\\:|\s]+")


@dataclass(frozen=True)
class Given:
    """What the user says of a bundle in place of what would be inferred; None is inferred.

    Attributes:
        activation: "softmax" or "sigmoid", or "identity" for a network that gives probabilities of its classes.
        out_channels: channels of the network's output.
        spatial_dims: 2 or 3.
    """

    activation: str | None = None
    out_channels: int | None = None
    spatial_dims: int | None = None


@dataclass(frozen=True)
class Facts:
    """What the overlays have to know of a network.

    Attributes:
        activation: how its output becomes probabilities.
        reason: what says so.
        classes: names of the foreground classes.
        in_channels: channels of the image.
        spatial_dims: 2 or 3.
    """

    activation: str
    reason: str
    classes: tuple[str, ...]
    in_channels: int
    spatial_dims: int


def facts_of(source: Source, given: Given) -> Facts:
    """Infer the facts from postprocessing, network and metadata.

    Raises:
        ValueError: if one of them cannot be told, or two places contradict each other, naming the option that says it.
    """
    activation, reason = (given.activation, "as given") if given.activation else _activation(source)
    outputs = given.out_channels or _one(_outputs(source), "channels of the network's output", "--out-channels")
    dims = given.spatial_dims or _one(_dims(source), "spatial dimensions", "--spatial-dims")
    inputs = _one(_channels(source, "inputs", INPUTS), "channels of the image", "in_channels in network_def")
    classes = outputs - (activation == "softmax")
    if classes < 1:
        raise ValueError(
            f"network must have a channel of a foreground class, got {outputs} with {activation}; give --activation or "
            "--out-channels."
        )
    return Facts(activation, reason, _names(source, outputs, classes), inputs, dims)


def _activation(source: Source) -> tuple[str, str]:
    """The activation, and the transform that says so."""
    entries = source.transforms(source.ids.postprocessing)
    said = [(name, e) for e in entries if e.target == "Activations" for name in ACTIVATIONS if _first(source, e, name)]
    cuts = [e for e in entries if e.target == "AsDiscrete"]
    takes_largest = any(_first(source, e, "argmax") for e in cuts)
    if len(said) == 1 and not (said[0][0] == "sigmoid" and takes_largest):
        return said[0][0], f"Activationsd in {source.ids.postprocessing}"
    if not said and takes_largest:
        return "softmax", f"argmax in {source.ids.postprocessing}, of what is taken for logits"
    names = ", ".join(e.target for e in entries) or "no transform"
    raise ValueError(
        f"{source.ids.postprocessing} must tell how the network's output becomes probabilities, by Activationsd with "
        f"softmax or sigmoid, or by AsDiscreted with argmax, got {names}; give --activation softmax, sigmoid or "
        "identity."
    )


def _first(source: Source, entry: Any, name: str) -> Any:
    """An argument of a transform, of its first key if there is one a key."""
    return source.items(entry.config.get(name))[0]


def _outputs(source: Source) -> dict[str, Any]:
    """Channels of the output by the place that says so."""
    entries = source.transforms(source.ids.postprocessing)
    one_hot = [_first(source, e, "to_onehot") for e in entries if e.target == "AsDiscrete" and "to_onehot" in e.config]
    return {**_channels(source, "outputs", OUTPUTS), "AsDiscreted": next(iter(one_hot), None)}


def _channels(source: Source, side: str, names: Iterable[str]) -> dict[str, Any]:
    network = source.followed(source.get(source.ids.network_def))
    said = [source.followed(network[name]) for name in names if name in network] if isinstance(network, dict) else []
    return {source.ids.network_def: next(iter(said), None), "metadata": _described(source, side).get("num_channels")}


def _described(source: Source, side: str) -> Any:
    """What the metadata say of the network's only input or output."""
    described = source.metadata.get("network_data_format", {}).get(side, {})
    return next(iter(described.values()), {}) if isinstance(described, dict) else {}


def _dims(source: Source) -> dict[str, Any]:
    network, shape = source.followed(source.get(source.ids.network_def)), _described(source, "inputs")
    in_network = source.followed(network.get("spatial_dims")) if isinstance(network, dict) else None
    return {source.ids.network_def: in_network, "metadata": len(shape.get("spatial_shape", ())) or None}


def _one(said: dict[str, Any], what: str, remedy: str) -> int:
    """The number that all places agree on that say one."""
    numbers = {place: value for place, value in said.items() if isinstance(value, int) and not isinstance(value, bool)}
    if len(set(numbers.values())) != 1:
        found = ", ".join(f"{value} in {place}" for place, value in numbers.items()) or "none"
        raise ValueError(f"{what} must be one number in {' and '.join(said)}, got {found}; give {remedy}.")
    return next(iter(numbers.values()))


def _names(source: Source, outputs: int, classes: int) -> tuple[str, ...]:
    """Names of the classes, which are the last channels, as they can be names of files and columns; or by number."""
    described = _described(source, "outputs").get("channel_def", {})
    for index, name in described.items():
        if BACKGROUND.fullmatch(str(name)) and (index != "0" or classes == outputs):
            raise ValueError(
                f"channel_def must name the background as channel 0 of a softmax and nothing else, got {name!r} as "
                f"channel {index} of {classes} classes in {outputs} channels; correct the metadata, or give "
                "--activation softmax if the network has one."
            )
    names = [FORBIDDEN.sub("_", str(described.get(str(index), f"channel_{index}"))) for index in range(outputs)]
    if len(set(names)) != outputs:
        names = [f"channel_{index}" for index in range(outputs)]
    return tuple(names[outputs - classes :])
