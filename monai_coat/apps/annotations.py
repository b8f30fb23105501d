# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Annotations: label maps as the served ones, from which people have removed what is wrong.

Tested by tests/apps/test_annotations.py and tests/apps/test_serving.py.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch import Tensor

from monai_coat.data import check_readable, read_label_map, to_grid
from monai_coat.data.volumes import volume_grid
from monai_coat.files.names import is_volume
from monai_coat.transforms import CertaintyLabels

__all__ = ["AnnotationMasksd", "masks_of_annotation", "read_annotation"]


Path_ = str | os.PathLike[str]


def read_annotation(path: Path_, image: Path_, labels: CertaintyLabels, overlapping: bool = False) -> MetaTensor:
    """Read an annotation file as one mask per class; certain and possible of a class both count as the class.

    Args:
        path: label map, a NIfTI volume or a flat image without loss.
        image: what it is of. The annotation must lie on its voxels, and is brought to its order of axes.
        labels: what the values mean.
        overlapping: whether a voxel may be of several classes, see :func:`masks_of_annotation`.

    Returns:
        Masks ``(C, *spatial)``, 0 or 1 in uint8, with the image's affine.

    Raises:
        ValueError: naming the file, if it cannot be read or does not lie on the image, or see
            :func:`masks_of_annotation`.
    """
    check_readable([{"image": image, "label": path}])
    values = read_label_map(path)
    if is_volume(path) and is_volume(image):
        values = to_grid(values, volume_grid(image), (path, image))
    try:
        masks = masks_of_annotation(values[0].as_subclass(Tensor), labels, overlapping)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return MetaTensor(masks.to(torch.uint8), meta=values.meta)


class AnnotationMasksd(MapTransform):
    """Masks ``(C, *spatial)`` in float32 in place of annotated label maps ``(1, *spatial)``.

    Args:
        keys: label maps.
        classes: names of the classes.
        overlapping: see :func:`masks_of_annotation`.
    """

    def __init__(self, keys: KeysCollection, classes: Sequence[str], overlapping: bool = False) -> None:
        super().__init__(keys)
        self.labels, self.overlapping = CertaintyLabels(tuple(classes)), overlapping

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each label map by its masks."""
        found = dict(data)
        for key in self.key_iterator(found):
            masks = masks_of_annotation(found[key][0].as_subclass(Tensor), self.labels, self.overlapping)
            found[key] = MetaTensor(masks.float(), meta=found[key].meta)
        return found


def masks_of_annotation(values: Tensor, labels: CertaintyLabels, overlapping: bool = False) -> Tensor:
    """The mask of each class in an annotated label map.

    Where classes exclude each other, a label such as "a possible, b possible" is a question that the annotator has left
    open, and no truth. Where they nest it is an answer.

    Args:
        values: labels ``(*spatial)``.
        labels: what the values mean.
        overlapping: whether a voxel may be of several classes.

    Returns:
        Masks ``(C, *spatial)``, bool.

    Raises:
        ValueError: if a value is no label, or a voxel is of several classes that exclude each other.

    Example:
        >>> labels = CertaintyLabels(("a", "b"))
        >>> masks_of_annotation(torch.tensor([0, 1, 4]), labels).int().tolist()
        [[0, 1, 0], [0, 0, 1]]
        >>> masks_of_annotation(torch.tensor([0, 8]), labels, overlapping=True).int().tolist()
        [[0, 1], [0, 1]]
    """
    masks = labels.possible(values)
    several = masks.sum(0) > 1
    if not overlapping and bool(several.any()):
        open_label = int(values[several].flatten()[0])
        name = next(name for name, value in labels.values.items() if value == open_label)
        raise ValueError(
            f"annotation must have one class for each voxel, got {name!r} in one of {int(several.sum())} voxels with "
            "several; decide for one, or set overlapping to true in the bundle if its classes nest."
        )
    return masks
