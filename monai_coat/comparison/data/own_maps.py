# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Somebody's saved maps as data sets of a protocol: one for each class."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai.data import MetaTensor
from torch import Tensor

from monai_coat.calibration import ScoreForms
from monai_coat.comparison.protocol import Protocol, load_protocol
from monai_coat.data import ClassLabels, MapOptions, PredictionFolder, open_predictions

__all__ = ["checked_pairs", "holds_volumes", "is_own", "open_own_maps", "place_of_class", "protocol_of_folder"]

NETWORK, UNNAMED = "saved maps", "yours"

Folder = str | os.PathLike[str]
Folders = Folder | Sequence[Folder] | Mapping[str, Folder]
Pairs = Iterator[tuple[Mapping[str, Any], MetaTensor, Tensor]]


def protocol_of_folder(
    protocol: Protocol | None,
    probs: Folders | None,
    labels: Folder | None,
    images: Folder | None = None,
    options: MapOptions | None = None,
) -> Protocol:
    """A protocol such as "predictions" on predictions of one's own, with the masks of the same names.

    Each class is a data set, named as the class; one class without a name is "yours".

    Args:
        protocol: methods, levels and splits; None for "predictions", or "volumes" if there are volumes.
        probs: see :func:`~monai_coat.data.open_predictions`.
        labels: folder of the reference masks.
        images: folder of the images, or None.
        options: what the files do not say of themselves.

    Raises:
        FileNotFoundError, ValueError: if one of the two is not named; or as
            :func:`~monai_coat.data.open_predictions`.
    """
    if not probs or labels is None:
        raise ValueError("probs (or masks) and labels must both name a folder, got one without the other; name both.")
    settings = _settings(probs, labels, images, options or MapOptions())
    folder = open_own_maps(settings)
    if protocol is None:
        protocol = load_protocol("volumes" if holds_volumes(folder) else "predictions")
    datasets = {name: {**settings, "class": name} for name in folder.format.names} or {UNNAMED: settings}
    # Without images nothing tells near repeats, so that every group would be one image.
    group_splits = protocol.group_splits if images is not None else 0
    return replace(protocol, datasets=datasets, networks={NETWORK: {}}, group_splits=group_splits)


def is_own(settings: Mapping[str, Any]) -> bool:
    """Whether a data set of a protocol is somebody's saved maps."""
    return "probs" in settings or "masks" in settings


def open_own_maps(settings: Mapping[str, Any]) -> PredictionFolder:
    """The folder that a data set of a protocol speaks of, with all its classes.

    Raises:
        FileNotFoundError, ValueError: as :func:`~monai_coat.data.open_predictions`.
    """
    classes = settings.get("classes")
    options = MapOptions(
        classes=ClassLabels.parse(classes) if classes else None,
        axes=settings.get("axes", ""),
        suffix=settings.get("map_suffix", ""),
        mask_threshold=settings.get("mask_threshold"),
        are_masks="masks" in settings,
    )
    maps = settings["masks" if options.are_masks else "probs"]
    return open_predictions(maps, settings["labels"], settings.get("images"), options)


def holds_volumes(folder: PredictionFolder) -> bool:
    """Whether maps have three axes, of which the first image's tell."""
    return folder.read(folder.samples[0]).ndim == 4


def place_of_class(folder: PredictionFolder, settings: Mapping[str, Any]) -> int:
    """The channel of the class that a data set is about.

    Raises:
        ValueError: if the data set names no class of several, or one that there is not.
    """
    names = folder.format.names
    if not names and "class" not in settings:
        return 0
    if settings.get("class") not in names:
        raise ValueError(
            f"class of a data set must be one of {', '.join(names) or 'none'}, got {settings.get('class')!r}; "
            "correct the protocol."
        )
    return names.index(settings["class"])


def checked_pairs(folder: PredictionFolder) -> Pairs:
    """Samples, maps and masks of a folder, all flat or all volumes, in no particular order.

    Raises:
        ValueError: as :meth:`~monai_coat.data.PredictionFolder.pairs`; if there are flat images among volumes; or, at
            the end, if all maps were segmentations.
    """
    forms, axes = ScoreForms(), 0
    for sample, maps, masks in folder.pairs():
        axes = axes or maps.ndim
        if maps.ndim != axes:
            raise ValueError(
                f"maps must be all flat images or all volumes, got {maps.ndim - 1} axes of {sample['probs']} and "
                f"{axes - 1} of others; keep them in folders of their own."
            )
        forms.take(maps.as_tensor()[None])
        yield sample, maps, masks
    folder.check_forms(forms)


def _settings(probs: Folders, labels: Folder, images: Folder | None, options: MapOptions) -> dict[str, Any]:
    """The data set as plain values, without what nobody said."""
    said: dict[str, Any] = {"masks" if options.are_masks else "probs": _absolute(probs), "labels": _absolute(labels)}
    said |= {} if images is None else {"images": _absolute(images)}
    said |= {} if options.classes is None else {"classes": str(options.classes)}
    said |= {"axes": options.axes} if options.axes else {}
    said |= {"map_suffix": options.suffix} if options.suffix else {}
    return said | ({} if options.mask_threshold is None else {"mask_threshold": options.mask_threshold})


def _absolute(places: Folders) -> Any:
    if isinstance(places, str | os.PathLike):
        return str(Path(places).absolute())
    if isinstance(places, Mapping):
        return {name: _absolute(place) for name, place in places.items()}
    return [_absolute(place) for place in places]
