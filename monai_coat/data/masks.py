# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The readers of reference masks and label maps."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monai.utils import optional_import
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.data.flat_files import BITS, flat_tensor, grey_values, is_lossy, open_upright
from monai_coat.data.volumes import check_finite_values, read_volume
from monai_coat.files.names import is_volume

pil_image, _ = optional_import("PIL.Image")

__all__ = ["UnclearMaskError", "as_mask", "check_whole", "mask_of_two", "read_label_map", "read_mask", "read_masks"]

ROUNDING = 1e-3
"""How far a label may be from a whole number: slopes in headers and other formats round."""

UNCLEAR = 0.1
"""Share of pixels in the middle half of the values from which on a compressed image is no mask."""

FOREGROUND = (1, 255, 65535)
"""Values of foreground in masks of two values."""

LARGEST = 2**24
"""Whole numbers below are told apart in float32; of this one and the next, both are this one."""

FOREGROUND_KEY = "foreground_value"

Path_ = str | os.PathLike[str]


class UnclearMaskError(ValueError):
    """What is foreground cannot be told from a mask's values.

    Args:
        text: the message.
        is_noise: whether it would be an empty mask with noise, if foreground is 255.
    """

    def __init__(self, text: str, is_noise: bool) -> None:
        super().__init__(text)
        self.is_noise = is_noise


def read_mask(path: Path_, threshold: float | None = None) -> MetaTensor:
    """Read a mask of one class as bool ``(1, *spatial)``.

    Foreground is 1 in masks of 0 and 1, and 255 (or 65535) in masks of 0 and 255. JPEG files, whose values are noisy,
    are cut at half of 255. Everything else could mean several things, classes or pixels to ignore for instance, and is
    refused unless ``threshold`` says what is meant.

    Args:
        path: an image file or a volume.
        threshold: foreground is where the value is at least this. None: as above.

    Raises:
        ValueError: naming the file, if it cannot be read, or does not say what is foreground.

    Example:
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=1, spatial_size=(16, 16))
        >>> mask = read_mask(root / "synthetic/masks/synthetic_0000.png")
        >>> mask.shape, mask.dtype
        (torch.Size([1, 16, 16]), torch.bool)
    """
    if threshold is not None and not math.isfinite(threshold):
        raise ValueError(f"threshold must be a finite number, got {threshold}; foreground is from it on.")
    if threshold is not None and abs(threshold) > LARGEST:
        raise ValueError(f"threshold must be at most {LARGEST}, got {threshold:.0f}; number the labels from 1 on.")
    if is_volume(path):
        values, lossy = _labels_of_volume(path), False
    else:
        image = open_upright(path)
        if image.mode == "P" and threshold is None:
            return _mask_of_palette(image, path)
        if threshold is not None:
            _check_depth(image, path)
        values, lossy = flat_tensor(pil_image.fromarray(grey_values(image, path)), path), is_lossy(image)
    if threshold is not None:
        check_finite_values(values, path, "mask", "write 0 where nothing is marked")
        return as_mask(values, values >= threshold)
    return _mask_of_lossy(values, path) if lossy else mask_of_two(values, path)


def read_masks(
    paths: Sequence[Path_],
    threshold: float | None = None,
    read: Callable[[Path_, float | None], MetaTensor] = read_mask,
) -> Iterator[tuple[int, MetaTensor]]:
    """Read the masks of one collection, in which foreground must have the same value in all.

    A mask that is empty but for a little noise, as compression leaves it (values up to 16, in at most one pixel of a
    hundred), can be told from one of two classes by the others: it is empty if foreground is 255 in these.

    Args:
        paths: the files.
        threshold: see :func:`read_mask`.
        read: reader of one file.

    Yields:
        Place in ``paths``, and mask; noisy ones last.

    Raises:
        ValueError: as :func:`read_mask`, and if foreground is 1 in one file and 255 in another.
    """
    known: dict[int, Path_] = {}
    unclear: list[tuple[int, UnclearMaskError]] = []
    for place, path in enumerate(paths):
        try:
            mask = read(path, threshold)
        except UnclearMaskError as error:
            unclear.append((place, error))
            continue
        known.setdefault(mask.meta.get(FOREGROUND_KEY, 0), path)
        yield place, mask
    values = sorted(known.keys() - {0})
    if len(values) > 1:
        raise ValueError(
            f"masks must have one value of foreground, got {values[0]} in {known[values[0]]} and {values[1]} in "
            f"{known[values[1]]}; give a threshold, or save all as 0 and 255."
        )
    for place, doubt in unclear:
        if values != [255] or not doubt.is_noise:
            raise doubt
        yield place, read(paths[place], 128)


def read_label_map(path: Path_) -> MetaTensor:
    """Read a map of class labels as float32 ``(1, *spatial)`` of whole numbers; of a palette image, its indices.

    Raises:
        ValueError: naming the file, if it cannot be read, or holds anything but whole numbers below 2^24.

    Example:
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=1, spatial_size=(16, 16))
        >>> read_label_map(root / "synthetic/masks/synthetic_0000.png").unique()
        metatensor([  0., 255.])
    """
    if is_volume(path):
        return _told_apart(_labels_of_volume(path), path)
    image = open_upright(path)
    if is_lossy(image):
        raise ValueError(f"label map must be kept without loss, got {path}; save labels as PNG or NIfTI.")
    _check_depth(image, path)
    return _told_apart(check_whole(_indices(image, path), path), path)


def _told_apart(labels: MetaTensor, path: Path_) -> MetaTensor:
    largest = int(labels.abs().max())
    if largest >= LARGEST:
        raise ValueError(
            f"label must be below {LARGEST}, from where on float32 merges neighbours, got about {largest} in {path}; "
            "number the labels from 1 on."
        )
    return labels


def _check_depth(image: Any, path: Path_) -> None:
    """Refuse grey of 2 or 4 bits where numbers count: Pillow stretches it to 255, other readers do not."""
    if image.mode == "L" and image.info[BITS] in {2, 4}:
        raise ValueError(
            f"labels must have 1, 8 or more bits, or a palette, got grey of {image.info[BITS]} bits in {path}; save "
            "them in 8 bits."
        )


def mask_of_two(values: MetaTensor, path: Path_) -> MetaTensor:
    """Where the larger of two values is; there must be no third."""
    for foreground in FOREGROUND:
        inside = values == foreground
        if bool((inside | (values == 0)).all()):
            return as_mask(values, inside, foreground)
    present = values.unique().tolist()
    listed = ", ".join(f"{value:g}" for value in present[:6]) + (", ..." if len(present) > 6 else "")
    few = float((values != 0).float().mean()) <= 0.01
    raise UnclearMaskError(
        f"mask must hold 0 and 1, or 0 and 255, got {listed} in {path}; say what foreground is (a threshold, as "
        "--mask-threshold, or the classes, as --classes liver=1,tumour=2), or save the mask as 0 and 255.",
        is_noise=few and min(present) >= 0 and max(present) <= 16,
    )


def _labels_of_volume(path: Path_) -> MetaTensor:
    values = read_volume(path)
    if values.shape[0] != 1:
        raise ValueError(
            f"label must have one channel, got {values.shape[0]} in {path}; save label maps, or one file per class."
        )
    return check_whole(values, path)


def check_whole(values: MetaTensor, path: Path_) -> MetaTensor:
    """Labels as whole numbers, if they are but for rounding.

    Raises:
        ValueError: naming the file, if they are not.
    """
    check_finite_values(values, path, "label", "write 0 where nothing is marked")
    rounded = values.round()
    apart = (values - rounded).abs()
    if float(apart.max()) > ROUNDING:
        value = float(values.flatten()[int(apart.argmax())])
        raise ValueError(f"label must hold whole numbers, got {value:.9g} in {path}; save labels, not probabilities.")
    return rounded  # type: ignore[return-value]


def _mask_of_lossy(values: MetaTensor, path: Path_) -> MetaTensor:
    middle = float(((values >= 64) & (values < 192)).float().mean())
    if middle > UNCLEAR:
        raise ValueError(
            f"mask must be black and white, got {middle:.0%} of the pixels in between in {path}; give a threshold, or "
            "save the mask as PNG."
        )
    return as_mask(values, values >= 128, 255)


def _mask_of_palette(image: Any, path: Path_) -> MetaTensor:
    """The mask of a palette image: its two indices, where colours say the same, or else its grey values."""
    indices, colours = np.asarray(image), np.asarray(image.convert("RGB"))
    if not any(set(np.unique(indices)) <= {0, foreground} for foreground in FOREGROUND):
        return mask_of_two(flat_tensor(pil_image.fromarray(grey_values(image, path)), path), path)
    if not np.array_equal(indices > 0, colours.max(-1) > 0):
        raise ValueError(
            f"mask must be black where nothing is marked, got a palette in {path} whose first colour is not; save the "
            "mask as 0 and 255 in one grey channel."
        )
    return mask_of_two(_indices(image, path), path)


def _indices(image: Any, path: Path_) -> MetaTensor:
    """Labels of a flat file: a palette's indices, a bitmap's 0 and 1, or grey values."""
    values: NDArray[Any] = np.asarray(image) if image.mode in {"1", "P"} else grey_values(image, path)
    return flat_tensor(pil_image.fromarray(values.astype(np.uint8) if image.mode == "1" else values), path)


def as_mask(values: MetaTensor, mask: Tensor, foreground: int = 0) -> MetaTensor:
    """A mask with the metadata of its file, and the value of foreground in it, if one was seen."""
    plain = mask.as_subclass(Tensor)
    seen = {FOREGROUND_KEY: foreground if bool(plain.any()) else 0}
    return MetaTensor(plain, meta={**values.meta, **seen})
