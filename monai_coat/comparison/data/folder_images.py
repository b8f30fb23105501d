# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Flat maps and masks of a folder of predictions at the size of the comparison, read once for all its classes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Resize
from monai.utils import convert_to_numpy
from torch import Tensor

from monai_coat.comparison.data.images import Images, as_bytes, kept_images
from monai_coat.comparison.data.own_maps import checked_pairs
from monai_coat.data import PredictionFolder, read_image
from monai_coat.data.sample_maps import source_of
from monai_coat.files.progress import followed

__all__ = ["load_folder_images"]

logger = logging.getLogger(__name__)

BYTES = "8 bit"


def load_folder_images(folder: PredictionFolder, size: Sequence[int], path: Path) -> Images:
    """Read a folder of flat predictions at a size, or what an earlier run read of it.

    Masks go by the larger part of each pixel. Maps of 8 bits stay whole numbers of 8 bits, others are float32.

    Args:
        folder: predictions with masks.
        size: height and width.
        path: NumPy file to keep the images in; its name must change with the contents of the files.

    Raises:
        ValueError: naming the file, if it cannot be read; or if all maps are segmentations.
    """
    return kept_images(path, lambda: _read(folder, size), len(folder))


def _read(folder: PredictionFolder, size: Sequence[int]) -> dict[str, Any]:
    area, rows = Resize(size, mode="area"), {}
    for sample, maps, masks in followed(checked_pairs(folder), len(folder), logger, "read"):
        probs = _resized_maps(maps.as_tensor(), area, folder.format.values == BYTES)
        label = convert_to_numpy(area(masks.float())) >= 0.5
        rows[sample["id"]] = {"image": _image(sample, probs, size), "label": label, "probs": probs}
    ids = [sample["id"] for sample in folder.samples]
    stacked = {key: np.stack([rows[name][key] for name in ids]) for key in ("image", "label", "probs")}
    return stacked | {"ids": np.array(ids)}


def _resized_maps(maps: Tensor, area: Callable[[Tensor], Tensor], are_bytes: bool) -> Any:
    """Maps ``(C, H, W)``, in steps of 1/255 as whole numbers if that is what they were stored in."""
    if are_bytes:
        return as_bytes(convert_to_numpy(area((maps * 255).round())))
    return np.clip(convert_to_numpy(area(maps)), 0, 1).astype(np.float32)


def _image(sample: Mapping[str, Any], probs: Any, size: Sequence[int]) -> Any:
    """The image ``(3, H, W)`` of 8 bits; where there is none, its map, or the largest of its maps."""
    if sample["image"] != source_of(sample):
        image = read_image(sample["image"])
        return as_bytes(convert_to_numpy(Resize(size, mode="bilinear", anti_aliasing=True)(image.float())))
    grey = probs.max(0)
    return np.broadcast_to(grey if grey.dtype == np.uint8 else as_bytes(255 * grey), (3, *grey.shape))
