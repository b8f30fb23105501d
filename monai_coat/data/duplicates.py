# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Images that occur twice: exact repeats to drop, near repeats to keep in one part."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.utils.module import optional_import
from numpy.typing import NDArray

from monai_coat.data.groups import group_of

__all__ = ["drop_duplicates", "group_duplicates", "perceptual_hash"]

SIDE, KEPT, BLOCK = 32, 8, 1024
"""Pixels along an axis, waves that are kept along it (8 x 8 = 64 bits), and images compared at a time."""

pil_image, _ = optional_import("PIL.Image")


def perceptual_hash(path: str | os.PathLike[str]) -> int:
    """64 bits that hardly change when an image is scaled, compressed again or made a little brighter.

    The image is made grey, 32 by 32 pixels, and taken apart into cosine waves. Each bit is the sign of one of the 64
    slowest that vary along both axes. Slow waves outlive a smaller size and JPEG, signs outlive brightness and
    contrast. Waves that vary along one axis only, and the mean, are left out: they show little but the dark corners
    and the vignette that all images of an instrument share.

    Mirrored, turned and cropped copies are not found.

    Args:
        path: a 2D image.

    Returns:
        The hash, in [0, 2 ** 64). How alike two images are is the number of bits that differ.

    Raises:
        ValueError: if the file is not a readable image.

    References:
        Zauner. Implementation and benchmarking of perceptual image hash functions. Diploma thesis, 2010.

    Example:
        >>> from monai_coat.data import folder_datalist, write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=2)
        >>> first, second = (perceptual_hash(s["image"]) for s in folder_datalist(root / "synthetic/images"))
        >>> (first ^ first).bit_count(), (first ^ second).bit_count() > 8
        (0, True)
    """
    grey = _colours(path).convert("L").resize((SIDE, SIDE), pil_image.Resampling.BOX)
    waves = _cosines() @ np.asarray(grey, dtype=np.float64) @ _cosines().T
    return int.from_bytes(np.packbits(waves > 0.0).tobytes(), "big")


def group_duplicates(samples: Sequence[dict[str, Any]], max_distance: int = 5) -> list[dict[str, Any]]:
    """Put samples whose images are nearly the same into one group, so that they never straddle two parts.

    Groups that a near repeat connects are merged as a whole, and so are chains of them. The merged group has the name
    of the one that comes first.

    Args:
        samples: dictionaries with ``id``, ``image`` and, optionally, ``group`` (default: its own id).
        max_distance: largest number of bits, of 64, in which :func:`perceptual_hash` of a near repeat differs. On 4691
            images of polyps, skin and fire, pairs of other groups within 5 bits were 24, of which 8 show the same
            scene; within 6 bits there were 63. A pair too many costs nothing but a larger group.

    Returns:
        Copies of the samples, in the same order, with ``group`` set.

    Raises:
        ValueError: if ``max_distance`` is not in [0, 63], or an image cannot be read.

    Example:
        >>> from monai_coat.data import folder_datalist, write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=2)
        >>> samples = folder_datalist(root / "synthetic/images")
        >>> twice = [*samples, {**samples[1], "id": "copy", "group": "copy"}]
        >>> [sample["group"] for sample in group_duplicates(twice)]
        ['synthetic_0000', 'synthetic_0001', 'synthetic_0001']
    """
    if not 0 <= max_distance < KEPT * KEPT:
        raise ValueError(
            f"max_distance must be in [0, {KEPT * KEPT - 1}], got {max_distance}; a near repeat has 5 or less."
        )
    groups = [group_of(sample) for sample in samples]
    parents = {group: group for group in groups}  # the order of the dictionary is that of the samples
    rank = {group: place for place, group in enumerate(parents)}
    for first, second in _near_pairs([perceptual_hash(sample["image"]) for sample in samples], max_distance):
        ends = sorted((_root(parents, groups[first]), _root(parents, groups[second])), key=rank.__getitem__)
        parents[ends[1]] = ends[0]
    return [{**sample, "group": _root(parents, group)} for sample, group in zip(samples, groups, strict=True)]


def drop_duplicates(samples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out every sample whose image repeats, pixel for pixel, that of an earlier one, whatever their masks.

    Args:
        samples: dictionaries with ``image``; the ending of the file is irrelevant, its colours count.

    Returns:
        The samples that stay, in the same order.

    Raises:
        ValueError: if an image cannot be read.

    Example:
        >>> from monai_coat.data import folder_datalist, write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=2, spatial_size=(16, 16))
        >>> samples = folder_datalist(root / "synthetic/images")
        >>> len(drop_duplicates([*samples, {**samples[1], "id": "copy"}]))
        2
    """
    first: dict[str, dict[str, Any]] = {}
    for sample in samples:
        first.setdefault(_pixels(sample["image"]), sample)
    return list(first.values())


def _near_pairs(hashes: Sequence[int], max_distance: int) -> Iterator[tuple[int, int]]:
    """Places of any two hashes, the first one before the second, that differ in at most that many bits."""
    numbers = np.asarray(hashes, dtype=">u8").reshape(-1, 1)
    # With bits as -1 and 1, the product of two hashes is 64 minus twice the bits that differ; exact in float32.
    signs = 2.0 * np.unpackbits(numbers.view(np.uint8), axis=1).astype(np.float32) - 1.0
    for start in range(0, len(signs), BLOCK):
        alike = signs[start : start + BLOCK] @ signs.T >= signs.shape[1] - 2 * max_distance
        for first, second in np.argwhere(alike):
            if start + first < second:
                yield int(start + first), int(second)


def _root(parents: dict[str, str], group: str) -> str:
    """The group that stands for all that were merged with this one; the way to it is shortened."""
    while parents[group] != group:
        parents[group] = parents[parents[group]]
        group = parents[group]
    return group


def _cosines() -> NDArray[np.float64]:
    """The slowest cosine waves, one a row: rows 1 to 8 of a discrete cosine transform, but for their scale."""
    waves: NDArray[np.float64] = np.cos(np.pi * np.outer(np.arange(1, KEPT + 1), np.arange(SIDE) + 0.5) / SIDE)
    return waves


def _pixels(path: str) -> str:
    """A digest of size and colours."""
    colours = _colours(path)
    return f"{colours.size}{hashlib.sha256(colours.tobytes()).hexdigest()}"


def _colours(path: str | os.PathLike[str]) -> Any:
    """The image of a file in RGB, whatever it is kept in."""
    try:
        with pil_image.open(path) as image:
            return image.convert("RGB")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"image must be a readable 2D image, got {Path(path)} ({error}); replace the file or leave the sample out."
        ) from error
