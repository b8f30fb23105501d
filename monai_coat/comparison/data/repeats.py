# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Repeats of a comparison: which images are learned from, and which are the pool of calibration and test images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_coat.comparison.data.images import Images
from monai_coat.comparison.data.volumes import ClassVolumes, VolumePool
from monai_coat.comparison.protocol import Protocol
from monai_coat.data import split_by_group
from monai_coat.data.groups import group_of
from monai_coat.functional import images_needed
from monai_coat.scorers import PredictedMaps, SketchedMaps

__all__ = [
    "Repeat",
    "TooFewImagesError",
    "check_enough",
    "groups_of",
    "repeats_of_saved_maps",
    "repeats_of_study",
    "repeats_of_volumes",
]

Samples = Sequence[dict[str, Any]]


class TooFewImagesError(ValueError):
    """A data set has too few images to be compared on."""


@dataclass(frozen=True)
class Repeat:
    """One draw of the images to learn from, and the pool that calibration and test images are drawn from.

    Of volumes both are stand-ins: sketches, and a pool that reads an image when it is asked for.
    """

    train: PredictedMaps | SketchedMaps
    pool: PredictedMaps | VolumePool


def repeats_of_saved_maps(images: Images, samples: Samples, protocol: Protocol) -> list[Repeat]:
    """Repeats of maps that were there before: no segmenter is trained, so each draws its training images anew.

    Args:
        images: images with saved maps.
        samples: their samples; no group is on both sides of a repeat.
        protocol: says how many repeats, the seed, and the share that is learned from.
    """
    return [
        Repeat(*(_saved_maps(images.take(part), part) for part in parts))
        for parts in _draws_of_saved_maps(samples, protocol)
    ]


def repeats_of_volumes(volumes: ClassVolumes, samples: Samples, protocol: Protocol) -> list[Repeat]:
    """:func:`repeats_of_saved_maps` for volumes: the same draws."""
    return [
        Repeat(volumes.sketches_of(train), volumes.pool_of(pool))
        for train, pool in _draws_of_saved_maps(samples, protocol)
    ]


def check_enough(repeats: Sequence[Repeat], dataset: str, protocol: Protocol) -> None:
    """Refuse data sets on which not every split could be calibrated and tested.

    Raises:
        TooFewImagesError: if there are too few images with foreground for the smallest level, or a part is empty.
    """
    alpha = min(protocol.alphas)
    needed = images_needed(alpha)
    for repeat in repeats:
        calibration = protocol.images_to_calibrate(len(repeat.pool))
        if calibration < needed or calibration == len(repeat.pool) or len(repeat.train) < 2:
            raise TooFewImagesError(
                f"images with foreground must be enough for 2 to learn from, {needed} to calibrate on at alpha "
                f"{alpha:g} and 1 to test on, got {len(repeat.train)}, {calibration} and "
                f"{len(repeat.pool) - calibration} of data set {dataset!r}; add images, or take a protocol with larger "
                "alphas."
            )


def _draws_of_saved_maps(samples: Samples, protocol: Protocol) -> Iterator[tuple[Any, Any]]:
    """Samples to learn from, and those of the pool, of each repeat."""
    _, learned, calibration, test = protocol.fractions
    share_of_pool = (calibration + test) / (learned + calibration + test)
    for number in range(protocol.repeats):
        yield split_by_group(samples, share_of_pool, protocol.seed + number)


def repeats_of_study(train: PredictedMaps, samples: Samples, protocol: Protocol) -> list[Repeat]:
    """Repeats that never look beyond the training images: each holds out some of their groups as its pool.

    Every group is held out in exactly one of the repeats.

    Args:
        train: the images that thresholds are learned from.
        samples: their samples, which say the groups.
        protocol: says how many repeats, and the seed.
    """
    group = groups_of(samples, train.ids)
    names = sorted(set(group))
    order = np.random.default_rng(protocol.seed).permutation(names)
    held_out_in = {name: place % protocol.repeats for place, name in enumerate(order)}
    repeats = []
    for number in range(protocol.repeats):
        pool = [i for i, name in enumerate(group) if held_out_in[name] == number]
        rest = [i for i, name in enumerate(group) if held_out_in[name] != number]
        repeats.append(Repeat(train.rows(rest), train.rows(pool)))
    return repeats


def groups_of(samples: Samples, ids: Sequence[str]) -> tuple[str, ...]:
    """Groups of the images of these names."""
    group = {str(sample["id"]): group_of(sample) for sample in samples}
    return tuple(group[name] for name in ids)


def _saved_maps(images: Images, samples: Samples) -> PredictedMaps:
    groups = groups_of(samples, images.ids)
    return PredictedMaps(images.ids, images.image, images.label, images.probs, groups=groups)
