# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Masks as files of the format and in the space of the map that they were cut from.

Tested by tests/predictions/test_folders.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monai.utils import optional_import
from torch import Tensor

from monai_coat.data import MapFormat, MaskWriter
from monai_coat.data.nrrd import write_nrrd
from monai_coat.files import replacing
from monai_coat.files.names import MAPS, is_array, is_nrrd, is_volume, suffix_of

pil_image, _ = optional_import("PIL.Image")

__all__ = ["check_labels_fit", "mask_path", "space_of", "write_mask"]

LOSSY = (".jpg", ".jpeg")


def mask_path(folder: Path, sample: Mapping[str, Any]) -> Path:
    """Where the mask of an image is written: its id, and the ending of its map, or of nnU-Net's segmentation."""
    place = space_of(sample)
    ending = suffix_of(place, MAPS)
    ending = {".npz": ".npy", **dict.fromkeys(LOSSY, ".png")}.get(ending, ending)
    return folder / f"{sample['id']}{ending}"


def check_labels_fit(largest: int, paths: Sequence[Path]) -> None:
    """Refuse label maps whose labels do not fit the files.

    Raises:
        ValueError: naming the first file that cannot hold them.
    """
    odd = next((path for path in paths if path.suffix.lower() == ".bmp" and largest > 255), None)
    if odd is not None:
        raise ValueError(
            f"label maps with labels up to {largest} must be written as PNG or TIFF, got {odd}; save maps as PNG."
        )


def write_mask(mask: Tensor, maps: MetaTensor, sample: Mapping[str, Any], path: Path, format: MapFormat) -> None:
    """Write a mask, 255 inside in flat images and 1 in others, or a label map as it is, ``(*spatial)``.

    Args:
        mask: bool, or whole numbers.
        maps: the maps that it was cut from, with the metadata of their file.
        sample: the image's files.
        path: from :func:`mask_path`.
        format: how the maps were read.
    """
    values = mask.numpy()
    if is_volume(path):
        whole = values.astype(np.uint8) if values.dtype == bool else values
        if is_nrrd(path):
            write_nrrd(whole, np.asarray(maps.affine, dtype=float), path)
            return
        writer = MaskWriter(output_dtype=whole.dtype)
        writer.set_data_array(whole, channel_dim=None)
        writer.set_metadata(maps.meta, resample=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        writer.write(path)
    elif is_array(path):
        whole = values.astype(np.uint8) if values.dtype == bool else values
        spatial = format.axes.replace("c", "")
        ordered = whole.transpose(["xyz".index(axis) for axis in spatial])
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, ordered)
    else:
        flat = (255 * values.T).astype(np.uint8) if values.dtype == bool else values.T
        flat = flat if flat.dtype == np.uint8 else flat.astype(np.uint16)
        kind = {".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}.get(path.suffix.lower(), "PNG")
        with replacing(path) as temporary, temporary.open("wb") as file:
            pil_image.fromarray(np.ascontiguousarray(flat)).save(file, format=kind)


def space_of(sample: Mapping[str, Any]) -> str:
    """The file that says where voxels lie."""
    probs = sample["probs"]
    return str(sample.get("segmentation", probs if isinstance(probs, str) else probs[0]))
