# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The files of one image in a folder of predictions: its maps, its label map, and both on one grid.

Tested by tests/data/test_prediction_folder.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from monai_coat.data.arrays import read_array, to_channels_first
from monai_coat.data.class_labels import ClassLabels
from monai_coat.data.grids import to_grid
from monai_coat.data.maps import as_probabilities, read_channels
from monai_coat.data.masks import as_mask, check_whole, mask_of_two, read_label_map, read_mask
from monai_coat.data.nnunet import NNUNet, on_segmentation
from monai_coat.data.readable import check_same_kind
from monai_coat.data.volumes import VALUES
from monai_coat.files.names import is_array, is_volume
from monai_coat.scorers.distance_map import distance_map

__all__ = ["all_channels", "distances", "label_map", "mask_of_one", "on_map", "source_of", "unit_of"]

Sample = Mapping[str, Any]


def source_of(sample: Sample) -> str:
    """The file of an image's map, or the first of them, for messages."""
    return sample["probs"] if isinstance(sample["probs"], str) else str(sample["probs"][0])


def all_channels(sample: Sample, axes: str, nnunet: NNUNet | None) -> MetaTensor:
    """All channels of an image's maps, float32 ``(channels, *spatial)`` in [0, 1], background included.

    Raises:
        ValueError: naming the file, if one cannot be read, or maps of one image differ in size, place or values.
    """
    paths = sample["probs"]
    if nnunet is not None:
        values = on_segmentation(read_array(paths), nnunet, sample["segmentation"], paths)
        return as_probabilities(values, paths)
    if is_array(source_of(sample)) != bool(axes):
        raise ValueError(
            f"maps must be of the kind that the others, or the calibration's, are, got {source_of(sample)} and axes "
            f"{axes or 'of the file'}; save all maps in one format."
        )
    if isinstance(paths, str):
        return read_channels(paths, axes)
    maps = [read_channels(path, axes) for path in paths]
    first = maps[0]
    placed = [
        to_grid(each, _grid(first), (path, paths[0])) if is_volume(path) else each
        for each, path in zip(maps, paths, strict=True)
    ]
    for path, each in zip(paths, placed, strict=True):
        if each.shape[0] != 1 or each.shape != first.shape or each.meta.get(VALUES) != first.meta.get(VALUES):
            raise ValueError(
                f"maps of one image must have one channel, one size and one kind of values, got {tuple(each.shape)} in "
                f"{path} and {tuple(first.shape)} in {paths[0]}; save them alike."
            )
    return MetaTensor(torch.cat([each.as_tensor() for each in placed]), meta=first.meta)


def distances(sample: Sample, classes: ClassLabels | None) -> MetaTensor:
    """The maps of predicted masks, see :func:`~monai_coat.scorers.distance_map`.

    Raises:
        ValueError: naming the file, if it cannot be read, or does not say what is foreground.
    """
    path = source_of(sample)
    labels = read_mask(path) if classes is None else read_label_map(path)
    masks = labels.as_tensor().bool() if classes is None else classes.masks(labels, path)
    if is_volume(path) and labels.dim() != 4:
        raise ValueError(
            f"masks must have three axes in volumes, got {tuple(labels.shape[1:])} in {path}; save flat ones as PNG."
        )
    spacing = np.linalg.norm(np.asarray(labels.affine)[:3, :3], axis=0) if is_volume(path) else np.ones(2)
    return MetaTensor(distance_map(masks, spacing.tolist()), meta=labels.meta)


def unit_of(path: str) -> str:
    """What distances of a file of masks are measured in, as a format of maps has it."""
    return "distance" if is_volume(path) else "distance in pixels"


def label_map(path: str, axes: str) -> MetaTensor:
    """The label map of a file, float32 ``(1, *spatial)`` of whole numbers.

    Args:
        path: the file.
        axes: of NumPy's files, those of the maps, from which the axis of channels is left out.

    Raises:
        ValueError: naming the file, if it cannot be read, or holds anything but whole numbers.
    """
    if not is_array(path):
        return read_label_map(path)
    array, spatial = read_array(path), axes.replace("c", "")
    if array.ndim == len(spatial) + 1 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != len(spatial):
        raise ValueError(
            f"label must have the {len(spatial)} axes {spatial or 'of its map'}, got {array.shape} in {path}; save "
            "labels as the maps are."
        )
    values = np.ascontiguousarray(to_channels_first(array, spatial), np.float32)
    return check_whole(MetaTensor(torch.from_numpy(values)), path)


def mask_of_one(path: str, threshold: float | None, axes: str) -> MetaTensor:
    """The mask of a folder's only class, bool ``(1, *spatial)``; see :func:`~monai_coat.data.read_mask`.

    Raises:
        ValueError: naming the file, if it cannot be read, or does not say what is foreground.
    """
    if not is_array(path):
        return read_mask(path, threshold)
    values = label_map(path, axes)
    return mask_of_two(values, path) if threshold is None else as_mask(values, values >= threshold)


def on_map(mask: MetaTensor, maps: MetaTensor, sample: Sample) -> MetaTensor:
    """A mask or label map on the grid of the maps.

    Raises:
        ValueError: naming both, if they do not lie on one another.
    """
    probs, label = sample.get("segmentation", source_of(sample)), sample["label"]
    check_same_kind(label, probs)
    if is_volume(probs) and is_volume(label):
        return to_grid(mask, _grid(maps), (label, probs))
    if is_array(label) and not is_array(probs):
        raise ValueError(f"label must say where its voxels lie, as {probs} does, got {label}; save it in that format.")
    if maps.shape[1:] != mask.shape[1:]:
        raise ValueError(
            f"label must have the size of its map, got {tuple(mask.shape[1:])} of {label} and "
            f"{tuple(maps.shape[1:])} of {source_of(sample)}; save maps at the size of the masks."
        )
    return mask


def _grid(maps: MetaTensor) -> tuple[Any, tuple[int, ...]]:
    return np.asarray(maps.affine, dtype=float), tuple(maps.shape[1:])
