# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Folders of predictions as nnU-Net v2 writes them: what ``dataset.json`` says, and where the voxels of a map lie."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.data.class_labels import ClassLabels
from monai_coat.data.grids import to_grid
from monai_coat.data.masks import read_label_map
from monai_coat.files import read_json

__all__ = ["NNUNet", "find_nnunet", "on_segmentation"]

DESCRIPTION, PLANS = "dataset.json", "plans.json"
ARRAY = "probabilities"
"""The array of nnU-Net's files, by which they are known: other data sets have a dataset.json too."""

UP = 3
"""Folders above that of predictions in which the description is looked for: ``fold_0/validation`` lies below it."""

AGREEMENT = 0.99
"""Share of voxels, of those that a map or its segmentation marks, which both must mark alike."""

orientations: Any = nibabel.orientations

Path_ = str | os.PathLike[str]


@dataclass(frozen=True)
class NNUNet:
    """What the description of an nnU-Net dataset says of predictions.

    Attributes:
        classes: foreground classes, in the order of channels.
        has_background: whether the first channel is the background: a softmax over labels. Regions have none.
        order: of regions, the label that each writes into the segmentation, one after the other; empty of a softmax.
        ending: ending of segmentations and labels.
        reoriented: whether its reader turned volumes to one orientation, as ``plans.json`` says; None if it is unknown.
        has_ignored: whether labels may mark voxels as of no known class.
    """

    classes: ClassLabels
    has_background: bool
    order: tuple[int, ...]
    ending: str
    reoriented: bool | None = None
    has_ignored: bool = False

    def refuse_ignored(self) -> None:
        """Refuse reference labels that may mark voxels as of no known class.

        Raises:
            ValueError: if the description has such a label.
        """
        if self.has_ignored:
            raise ValueError(
                f"labels must all be of classes or background, got the label 'ignore' in {DESCRIPTION}: voxels without "
                "a known class cannot be counted; correct these labels, or leave their images out and the entry away."
            )


def find_nnunet(folders: Sequence[Path]) -> NNUNet | None:
    """The description of nnU-Net's predictions, in their folder or up to three folders above; None if they are no such.

    Raises:
        ValueError: if there is a description, but not as nnU-Net v2 reads it; or if folders have different ones.
    """
    found = [_found(folder) for folder in folders]
    for folder, description in zip(folders, found, strict=True):
        if description != found[0]:
            raise ValueError(
                f"folders of predictions must be of one dataset of nnU-Net, but {DESCRIPTION} or {PLANS} say something "
                f"else, or are not there, for {folder} than for {folders[0]}; calibrate on predictions of one dataset."
            )
    return found[0]


def _found(folder: Path) -> NNUNet | None:
    arrays = sorted(folder.glob("*.npz"))
    if not arrays or ARRAY not in _names_in(arrays[0]):
        return None
    for place in [folder, *folder.parents][: UP + 1]:
        if (place / DESCRIPTION).is_file():
            return _described(place / DESCRIPTION)
    return None


def _names_in(path: Path) -> list[str]:
    """Names of the arrays of a file; a damaged one counts as nnU-Net's, whose reader will say what is wrong."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        return [ARRAY]


def _described(path: Path) -> NNUNet:
    content = read_json(path, "the description of an nnU-Net dataset", "copy it from the dataset")
    labels, ending = content.get("labels"), content.get("file_ending")
    if not isinstance(labels, Mapping) or labels.get("background") != 0 or not isinstance(ending, str):
        raise ValueError(
            f"{DESCRIPTION} must have 'labels', with 'background' as 0, and 'file_ending', as nnU-Net v2 has them, got "
            f"something else in {path}; copy it from the dataset."
        )
    entries = {name: _values(value, path) for name, value in labels.items() if name != "background"}
    has_ignored = entries.pop("ignore", None) is not None
    if not any(len(values) > 1 for values in entries.values()):
        classes = _consecutive(entries, path)
        return NNUNet(classes, True, (), ending, _is_reoriented(path.with_name(PLANS)), has_ignored)
    order = content.get("regions_class_order")
    if not isinstance(order, list) or len(order) != len(entries) or not all(isinstance(each, int) for each in order):
        raise ValueError(
            f"regions_class_order must list a label for each of the {len(entries)} regions, got {order!r} in {path}; "
            "copy the file from the dataset."
        )
    classes = ClassLabels.of(entries)
    return NNUNet(classes, False, tuple(order), ending, _is_reoriented(path.with_name(PLANS)), has_ignored)


def _is_reoriented(plans: Path) -> bool | None:
    if not plans.is_file():
        return None
    reader = read_json(plans, "nnU-Net's plans", "copy them from the trained model").get("image_reader_writer")
    return reader == "NibabelIOWithReorient"


def _values(value: object, path: Path) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(each, int) and not isinstance(each, bool) for each in values):
        raise ValueError(f"labels must be whole numbers or lists of them, got {value!r} in {path}; correct the file.")
    return tuple(values)


def _consecutive(entries: Mapping[str, tuple[int, ...]], path: Path) -> ClassLabels:
    """The classes in the order of their labels, which is that of channels."""
    ordered = dict(sorted(entries.items(), key=lambda entry: entry[1]))
    if [values[0] for values in ordered.values()] != list(range(1, len(ordered) + 1)):
        raise ValueError(f"labels must be 0, 1, 2 and so on, got {dict(entries)} in {path}; correct the file.")
    return ClassLabels.of(ordered)


def on_segmentation(probabilities: NDArray[Any], folder: NNUNet, segmentation: Path_, path: Path_) -> MetaTensor:
    """Probabilities as nnU-Net writes them, ``(channels, z, y, x)``, on the grid of the segmentation beside them.

    One of nnU-Net's readers turns volumes to a common orientation first, and probabilities stay in it. Which of the two
    it is, the segmentation says, since it was made of these probabilities.

    Args:
        probabilities: the array of the file.
        folder: what the description says.
        segmentation: file of the segmentation.
        path: file of the probabilities, for messages.

    Returns:
        ``(channels, *spatial)`` with the segmentation's affine, of all channels.

    Raises:
        ValueError: naming the files, if the probabilities do not make the segmentation, or make it in both ways and no
            ``plans.json`` says which it is.
    """
    labels = read_label_map(segmentation)
    expected = len(folder.classes) + folder.has_background
    if probabilities.ndim != 4 or probabilities.shape[0] != expected:
        raise ValueError(
            f"probabilities must be of {expected} channels and three axes, as {DESCRIPTION} says, got "
            f"{probabilities.shape} in {path}; predict again with its dataset."
        )
    turned = probabilities.transpose(0, 3, 2, 1)
    if labels.dim() == 3 and turned.shape[-1] == 1:
        turned = turned[..., 0]
    found: list[tuple[float, MetaTensor]] = []
    for values in _candidates(turned, folder, labels, (path, segmentation)):
        found.append((_agreement(values.numpy(), folder, labels), values))
    ways = [values for agreement, values in found if agreement >= AGREEMENT]
    if len(ways) > 1 and not torch.equal(ways[0].as_tensor(), ways[1].as_tensor()):
        raise ValueError(_unknown_turn(segmentation, "agrees with its map in two ways to lie"))
    if ways:
        return ways[0]
    best = max((agreement for agreement, _ in found), default=0.0)
    raise ValueError(
        f"probabilities must make the segmentation beside them, got {path} of {probabilities.shape[1:]}, which agrees "
        f"with {segmentation} of {tuple(labels.shape[1:])} in {best:.0%} of what is marked; predict both again."
    )


def _unknown_turn(segmentation: Path_, why: str) -> str:
    return (
        f"{PLANS} must lie beside {DESCRIPTION}, since {segmentation} {why}, so that nothing else tells whether "
        "nnU-Net's reader turned the volume, got none; copy it from the trained model."
    )


def _candidates(
    turned: NDArray[Any], folder: NNUNet, labels: MetaTensor, names: tuple[Path_, Path_]
) -> Iterator[MetaTensor]:
    """The ways in which the map may lie on the grid of its segmentation, the likelier first."""
    if labels.dim() < 4 or _is_canonical(labels):
        ways = [False]
    elif folder.reoriented is not None:
        ways = [folder.reoriented]
    elif bool((labels != 0).any()):
        ways = [False, True]
    else:  # nothing is marked, so that nothing tells
        raise ValueError(_unknown_turn(names[1], "marks nothing and is turned"))
    for is_reoriented in ways:
        if is_reoriented:
            yield from _from_canonical(turned, labels, names)
        elif turned.shape[1:] == tuple(labels.shape[1:]):
            yield MetaTensor(torch.from_numpy(np.ascontiguousarray(turned)), meta=labels.meta)


def _is_canonical(labels: MetaTensor) -> bool:
    steps = orientations.io_orientation(np.asarray(labels.affine))
    return np.array_equal(steps, [[0, 1], [1, 1], [2, 1]])


def _from_canonical(turned: NDArray[Any], labels: MetaTensor, names: tuple[Path_, Path_]) -> Iterator[MetaTensor]:
    """Probabilities of axes that point right, to the front and up, on the grid of the labels, if they fit it."""
    affine, size = np.asarray(labels.affine, dtype=float), tuple(labels.shape[1:])
    steps = orientations.io_orientation(affine)
    canonical = affine @ orientations.inv_ornt_aff(steps, size)
    values = MetaTensor(torch.from_numpy(np.ascontiguousarray(turned)), affine=torch.from_numpy(canonical))
    try:
        placed = to_grid(values, (affine, size), names)
    except ValueError:
        return
    yield MetaTensor(placed.as_subclass(Tensor).contiguous(), meta=labels.meta)


def _agreement(values: NDArray[Any], folder: NNUNet, labels: MetaTensor) -> float:
    """Share of the voxels marked by either that have the same label in both."""
    made = _segmented(values, folder)
    given = labels[0].numpy()
    either = (made != 0) | (given != 0)
    marked = int(either.sum())
    return 1.0 if not marked else float((made == given)[either].sum()) / marked


def _segmented(values: NDArray[Any], folder: NNUNet) -> NDArray[Any]:
    if not folder.order:
        return np.asarray(values.argmax(0))
    made = np.zeros(values.shape[1:], np.int64)
    for channel, label in zip(values, folder.order, strict=True):
        made[channel > 0.5] = label
    return made
