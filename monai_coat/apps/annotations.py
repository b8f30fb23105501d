# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Annotations: label maps as the served ones, from which people have removed what is wrong.

Tested by tests/apps/test_serving.py.
"""

from __future__ import annotations

import os

import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage
from nibabel.filebasedimages import ImageFileError
from torch import Tensor

from monai_coat.transforms import CertaintyLabels

__all__ = ["masks_of_annotation", "read_annotation"]


def read_annotation(path: str | os.PathLike[str], labels: CertaintyLabels, overlapping: bool = False) -> MetaTensor:
    """Read an annotation file as one mask per class; certain and possible of a class both count as the class.

    Args:
        path: label map in a form that MONAI reads.
        labels: what the values mean.
        overlapping: whether a voxel may be of several classes, see :func:`masks_of_annotation`.

    Returns:
        Masks ``(C, *spatial)``, 0 or 1 in uint8, with the file's affine.

    Raises:
        ValueError: if the file cannot be read, has several channels, or see :func:`masks_of_annotation`.
    """
    try:
        values = LoadImage(image_only=True, ensure_channel_first=True)(path)
    except (OSError, EOFError, RuntimeError, ImageFileError) as error:
        raise ValueError(f"annotation must be a readable label map, got {path} ({error}); save it again.") from None
    if values.shape[0] != 1:
        raise ValueError(f"annotation must have one channel of labels, got {values.shape[0]} in {path}; save it so.")
    try:
        masks = masks_of_annotation(values[0].as_subclass(Tensor), labels, overlapping)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return MetaTensor(masks.to(torch.uint8), meta=values.meta)


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
