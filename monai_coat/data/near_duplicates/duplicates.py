# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Images that occur twice: exact repeats to drop, near repeats to keep in one part."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from monai_coat.data.groups import group_of
from monai_coat.data.near_duplicates.appearance import fine_detail, hash_and_centre, pixel_digest

__all__ = ["drop_duplicates", "group_duplicates"]

logger = logging.getLogger(__name__)

BITS, BLOCK, REPORT = 64, 1024, 1000
"""Bits of a hash, images or pairs looked at together, and images between two lines of the log."""
CLOSE, DETAIL_IF_CLOSE, DETAIL = 5, 0.35, 0.45
"""Bits that close images differ in at most, and how well detail must agree of these and of all others."""


def group_duplicates(samples: Sequence[dict[str, Any]], max_distance: int = 14) -> list[dict[str, Any]]:
    """Put samples whose images are nearly the same into one group, so that they never straddle two parts.

    Groups that a near repeat connects are merged as a whole, and so are chains of them. The merged group has the name
    of the one that comes first.

    Two images are near repeats if their :func:`~monai_coat.data.perceptual_hash` differs in few bits and the fine
    detail of their centres agrees: a correlation of 0.35 within 5 bits, of 0.45 beyond. The hash alone does not do. On
    4691 images of polyps, skin and fire, 24 pairs from different groups are within 5 bits, of which 7 show one scene,
    and 11 530 within 14. Detail leaves 15 of these, of which 13 show one scene; 16 bits add a pair that does not. What
    moves between two frames, or is seen from another side, is not found.

    Needs 16 kB per image; 10 000 images are compared in seconds and take as long as it takes to read them.

    Args:
        samples: dictionaries with ``id``, ``image`` and, optionally, ``group`` (default: its own id).
        max_distance: largest number of bits, of 64, in which the hashes of near repeats differ.

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
    if not 0 <= max_distance < BITS:
        raise ValueError(
            f"max_distance must be in [0, {BITS - 1}], got {max_distance}; 14 is usual, 5 finds close repeats."
        )
    groups = [group_of(sample) for sample in samples]
    parents = {group: group for group in groups}  # the order of the dictionary is that of the samples
    rank = {group: place for place, group in enumerate(parents)}
    for first, second in _near_repeats([sample["image"] for sample in samples], max_distance):
        ends = sorted((_root(parents, groups[first]), _root(parents, groups[second])), key=rank.__getitem__)
        parents[ends[1]] = ends[0]
    merged = [_root(parents, group) for group in groups]
    logger.info("%d groups before and %d after near repeats were put together.", len(parents), len(set(merged)))
    return [{**sample, "group": group} for sample, group in zip(samples, merged, strict=True)]


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
    for sample in _reported(samples):
        first.setdefault(pixel_digest(sample["image"]), sample)
    logger.info("%d of %d images repeat an earlier one and are left out.", len(samples) - len(first), len(samples))
    return list(first.values())


def _near_repeats(paths: Sequence[str], max_distance: int) -> list[tuple[int, int]]:
    """Places of any two images, the first one before the second, that look the same in the large and in detail."""
    if not paths:
        return []
    hashes, centres = zip(*(hash_and_centre(path) for path in _reported(paths)), strict=True)
    detail = torch.cat([fine_detail(centres[start : start + BLOCK]) for start in range(0, len(centres), BLOCK)])
    repeats = []
    for block in _near_pairs(hashes, max_distance):
        for start in range(0, len(block), BLOCK):
            pairs = block[start : start + BLOCK]
            agreement = (detail[pairs[:, 0]] * detail[pairs[:, 1]]).sum(dim=1).numpy()
            enough = np.where(pairs[:, 2] <= CLOSE, DETAIL_IF_CLOSE, DETAIL)
            repeats += [(int(first), int(second)) for first, second, _ in pairs[agreement >= enough]]
    return repeats


def _near_pairs(hashes: Sequence[int], max_distance: int) -> Iterator[NDArray[np.int64]]:
    """Rows of the places of two hashes, the first one before the second, and in how many bits they differ."""
    numbers = np.asarray(hashes, dtype=">u8").reshape(-1, 1)
    # With bits as -1 and 1, the product of two hashes is 64 minus twice the bits that differ; exact in float32.
    signs = 2.0 * np.unpackbits(numbers.view(np.uint8), axis=1).astype(np.float32) - 1.0
    for start in range(0, len(signs), BLOCK):
        differing = (BITS - signs[start : start + BLOCK] @ signs[start:].T) / 2.0
        first, second = np.nonzero(np.triu(differing <= max_distance, k=1))
        yield np.stack([first + start, second + start, differing[first, second].astype(np.int64)], axis=1)


def _root(parents: dict[str, str], group: str) -> str:
    """The group that stands for all that were merged with this one; the way to it is shortened."""
    while parents[group] != group:
        parents[group] = parents[parents[group]]
        group = parents[group]
    return group


def _reported(items: Iterable[Any]) -> Iterator[Any]:
    """The same items, with a line in the log now and then."""
    for count, item in enumerate(items, start=1):
        yield item
        if count % REPORT == 0:
            logger.info("%d images looked at.", count)
