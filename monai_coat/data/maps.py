# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Saved probability maps: listed with their masks, read, and calibrated."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from monai_coat.calibration import CalibrationResult, CoverageStatistic, calibrate
from monai_coat.data.datasets import files_by_stem
from monai_coat.data.images import read_image
from monai_coat.data.masks import read_mask
from monai_coat.files.names import suffix_of

__all__ = ["calibrate_saved_maps", "map_datalist", "read_map"]

logger = logging.getLogger(__name__)

Folder = str | os.PathLike[str]


def map_datalist(probs: Folder, labels: Folder, images: Folder | None = None) -> list[dict[str, Any]]:
    """List the probability maps of a folder with the masks, and perhaps the images, of the same names.

    ``probs/a.png`` goes with ``labels/a.png``: names are compared without their endings. Further masks and images are
    passed over.

    Args:
        probs: folder of maps: PNG and the like with 255 for probability 1, or NIfTI with probabilities.
        labels: folder of the reference masks.
        images: folder of the images, or None: ``image`` is then the map itself.

    Returns:
        Dictionaries with ``id``, ``probs``, ``label`` and ``image``, sorted by id, with absolute paths.

    Raises:
        FileNotFoundError: if a folder does not exist, holds no image files, or lacks the counterpart of a map.
        ValueError: if two files of a folder have the same name but for the ending.

    Example:
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=2, spatial_size=(16, 16))
        >>> [s["id"] for s in map_datalist(root / "synthetic/masks", root / "synthetic/masks")]
        ['synthetic_0000', 'synthetic_0001']
    """
    folders = {"probs": probs, "labels": labels} | ({} if images is None else {"images": images})
    files = {name: files_by_stem(folder, name) for name, folder in folders.items()}
    for name, found in files.items():
        missing = sorted(files["probs"].keys() - found.keys())
        if missing:
            raise FileNotFoundError(
                f"{name} must hold a file for every map in probs, got none for {missing[0]!r} in {folders[name]} "
                f"({len(missing)} of {len(files['probs'])} missing); add them or move the maps away."
            )
    pictures = files.get("images", files["probs"])
    return [
        {"id": name, "probs": str(path), "label": str(files["labels"][name]), "image": str(pictures[name])}
        for name, path in files["probs"].items()
    ]


def calibrate_saved_maps(samples: Sequence[Mapping[str, Any]], alpha: float) -> CalibrationResult:
    r"""Conformal risk control of saved probability maps: the exact threshold for new maps of the same network.

    The images must be exchangeable with new ones, and the network must not have seen them.

    Args:
        samples: dictionaries with paths ``probs`` and ``label``, as :func:`map_datalist` lists them. Each map is taken
            at its own size, which its mask must have; see :func:`read_map` and :func:`~monai_coat.data.read_mask`.
        alpha: tolerated mean false negative rate, in (0, 1).

    Returns:
        The result of :func:`~monai_coat.calibration.calibrate`; its cutoff is a probability.

    Raises:
        ValueError: if a map is not in [0, 1], its mask has another size, or there are too few for ``alpha``.

    Example:
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=20, spatial_size=(16, 16))
        >>> calibrate_saved_maps(map_datalist(root / "synthetic/masks", root / "synthetic/masks"), alpha=0.1).cutoff
        (1.0,)

    Source:
        Angelopoulos et al., Conformal Risk Control (ICLR 2024), section 3.
    """
    statistic = CoverageStatistic()
    for number, sample in enumerate(samples, 1):
        probs, mask = read_map(sample["probs"]), read_mask(sample["label"])
        if probs.shape != mask.shape:
            raise ValueError(
                f"label must have the size of its map, got {tuple(mask.shape[1:])} of {sample['label']} and "
                f"{tuple(probs.shape[1:])} of {sample['probs']}; save maps at the size of the masks."
            )
        statistic.update(probs[None], mask[None])
        if number % 500 == 0:
            logger.info("read %d of %d maps", number, len(samples))
    return calibrate(statistic, alpha)


def read_map(path: str | os.PathLike[str]) -> Tensor:
    """Read a probability map ``(1, *spatial)`` in [0, 1]; of flat images, 255 is probability 1.

    Raises:
        ValueError: if a value is outside [0, 1].

    Example:
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=1, spatial_size=(16, 16))
        >>> float(read_map(root / "synthetic/masks/synthetic_0000.png").max())
        1.0
    """
    values = read_image(path, "L")
    probs = values if suffix_of(path).startswith(".nii") else values / 255
    low, high = float(probs.min()), float(probs.max())
    if not 0 <= low <= high <= 1:
        raise ValueError(
            f"probs must be in [0, 1] (8-bit files: 0 to 255), got {low:g} to {high:g} in {path}; save probabilities, "
            "not logits."
        )
    return probs
