# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Saved probability maps: listed with their masks, read, and calibrated."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monai.utils import optional_import

from monai_coat.calibration import CalibrationResult, CoverageStatistic, ScoreForms, calibrate
from monai_coat.data.datasets import files_by_stem
from monai_coat.data.flat_files import flat_tensor, grey_values, open_upright
from monai_coat.data.masks import read_masks
from monai_coat.data.readable import check_same_kind
from monai_coat.data.volumes import check_finite_values, read_volume, to_grid
from monai_coat.files.names import is_volume
from monai_coat.functional import float32_below, images_needed

pil_image, _ = optional_import("PIL.Image")

__all__ = ["calibrate_saved_maps", "map_datalist", "read_map"]

logger = logging.getLogger(__name__)

ROUNDING = 1e-5
"""How far above 1 a probability may be by rounding."""

SCALES = {1: 255, 2: 65535}
"""Probability 1 in whole numbers of so many bytes."""

Folder = str | os.PathLike[str]


def map_datalist(probs: Folder, labels: Folder, images: Folder | None = None) -> list[dict[str, Any]]:
    """List the probability maps of a folder with the masks, and perhaps the images, of the same names.

    ``probs/a.png`` goes with ``labels/a.png``: names are compared without their endings. Further masks and images are
    passed over.

    Args:
        probs: folder of maps, see :func:`read_map`.
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


def calibrate_saved_maps(
    samples: Sequence[Mapping[str, Any]], alpha: float, threshold: float | None = None
) -> CalibrationResult:
    r"""Conformal risk control of saved probability maps: the exact threshold for new maps of the same network.

    The images must be exchangeable with new ones, and the network must not have seen them.

    Args:
        samples: dictionaries with paths ``probs`` and ``label``, as :func:`map_datalist` lists them. Each map is taken
            at its own size, which its mask must have; see :func:`read_map` and :func:`~monai_coat.data.read_masks`. The
            mask of a volume is brought to the map's order of axes.
        alpha: tolerated mean false negative rate, in (0, 1).
        threshold: foreground is where a mask is at least this; None: masks are of 0 and 1, or 0 and 255.

    Returns:
        The result of :func:`~monai_coat.calibration.calibrate`; its cutoff is a probability.

    Raises:
        ValueError: if a file cannot be read, or does not say what is foreground; a map is not in [0, 1]; its mask has
            another size or lies elsewhere; or there are too few for ``alpha``.

    Example:
        >>> from PIL import Image
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=20, spatial_size=(16, 16))
        >>> (root / "maps").mkdir()
        >>> for path in (root / "synthetic/masks").iterdir():
        ...     soft = Image.open(path).resize((8, 8), Image.Resampling.BOX).resize((16, 16), Image.Resampling.BILINEAR)
        ...     soft.save(root / "maps" / path.name)
        >>> result = calibrate_saved_maps(map_datalist(root / "maps", root / "synthetic/masks"), alpha=0.1)
        >>> 0.2 < result.cutoff[0] < 0.9
        True

    Source:
        Angelopoulos et al., Conformal Risk Control (ICLR 2024), section 3.
    """
    images_needed(alpha)  # a level that is none is told before anything is read
    statistic, forms = CoverageStatistic(), ScoreForms()
    for number, (place, mask) in enumerate(read_masks([sample["label"] for sample in samples], threshold), 1):
        sample = samples[place]
        probs = read_map(sample["probs"])
        placed = _on_map(mask, probs, sample)
        forms.take(probs.as_tensor()[None])
        statistic.update(probs.as_tensor()[None], placed.as_tensor()[None])
        if number % 500 == 0:
            logger.info("read %d of %d maps", number, len(samples))
    forms.check(f"{samples[0]['probs']} and the others are segmentations: give the folder of probability maps")
    result = calibrate(statistic, alpha)
    forms.warn_of_everything(result)
    return result


def _on_map(mask: MetaTensor, probs: MetaTensor, sample: Mapping[str, Any]) -> MetaTensor:
    """The mask on the map's grid."""
    check_same_kind(sample["label"], sample["probs"])
    if is_volume(sample["probs"]):
        return to_grid(mask, (np.asarray(probs.affine), tuple(probs.shape[1:])), (sample["label"], sample["probs"]))
    if probs.shape != mask.shape:
        raise ValueError(
            f"label must have the size of its map, got {tuple(mask.shape[1:])} of {sample['label']} and "
            f"{tuple(probs.shape[1:])} of {sample['probs']}; save maps at the size of the masks."
        )
    return mask


def read_map(path: str | os.PathLike[str]) -> MetaTensor:
    """Read a probability map as float32 ``(1, *spatial)`` in [0, 1].

    Of flat images the largest whole number is probability 1: 255 of 8 bits, 65535 of 16 bits; floats are taken as they
    are. Quotients and numbers in double precision are rounded down, so that the file's own values pass the same
    cutoffs. What rounding put just above 1 is 1.

    Raises:
        ValueError: naming the file, if it cannot be read, has several channels or colours, or values outside [0, 1].

    Example:
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=1, spatial_size=(16, 16))
        >>> float(read_map(root / "synthetic/masks/synthetic_0000.png").max())
        1.0
    """
    values = read_volume(path, np.float64) if is_volume(path) else _flat_map(path)
    if values.shape[0] != 1:
        raise ValueError(f"map must have one channel, got {values.shape[0]} in {path}; save one file for each class.")
    check_finite_values(values, path, "probs", "write 0 where nothing is predicted")
    low, high = float(values.min()), float(values.max())
    if not 0 <= low <= high <= 1 + ROUNDING:
        raise ValueError(
            f"probs must be in [0, 1] (whole numbers: 0 to 255 in 8 bits), got {low:.9g} to {high:.9g} in {path}; save "
            "probabilities, not logits."
        )
    below = float32_below(values.as_tensor()).clamp(max=1)
    return MetaTensor(below, meta=values.meta)


def _flat_map(path: str | os.PathLike[str]) -> MetaTensor:
    image = open_upright(path)
    pixels = grey_values(image, path)
    scale = 1 if pixels.dtype.kind == "f" else SCALES.get(pixels.dtype.itemsize, 0)
    if not scale:
        raise ValueError(f"map must have 8 or 16 bits, or floats, got {path} of mode {image.mode!r}; save it in one.")
    values = flat_tensor(pil_image.fromarray(pixels), path)
    return values.double() / scale  # type: ignore[return-value]
