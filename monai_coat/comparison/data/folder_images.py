# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Flat maps and masks of a folder of predictions at the size of the comparison, read once for all its classes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Resize
from monai.utils import convert_to_numpy

from monai_coat.comparison.data.images import Images, as_bytes, as_probabilities, kept_images
from monai_coat.comparison.data.own_maps import checked_pairs
from monai_coat.data import PredictionFolder, read_image
from monai_coat.data.sample_maps import source_of
from monai_coat.files.progress import followed

__all__ = ["load_folder_images"]

logger = logging.getLogger(__name__)


def load_folder_images(folder: PredictionFolder, size: Sequence[int], path: Path) -> Images:
    """Read a folder of flat predictions at a size, or what an earlier run read of it.

    Masks go by the larger part of each pixel. Maps are float32, whatever they were stored in.

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
        probs = as_probabilities(convert_to_numpy(area(maps.as_tensor())))
        label = convert_to_numpy(area(masks.float())) >= 0.5
        rows[sample["id"]] = {"image": _image(sample, probs, size), "label": label, "probs": probs}
    ids = [sample["id"] for sample in folder.samples]
    stacked = {key: np.stack([rows[name][key] for name in ids]) for key in ("image", "label", "probs")}
    return stacked | {"ids": np.array(ids)}


def _image(sample: Mapping[str, Any], probs: Any, size: Sequence[int]) -> Any:
    """The image ``(3, H, W)`` of 8 bits; where there is none, its map, or the largest of its maps."""
    if sample["image"] != source_of(sample):
        image = read_image(sample["image"])
        return as_bytes(convert_to_numpy(Resize(size, mode="bilinear", anti_aliasing=True)(image.float())))
    grey = as_bytes(255 * probs.max(0))
    return np.broadcast_to(grey, (3, *grey.shape))
