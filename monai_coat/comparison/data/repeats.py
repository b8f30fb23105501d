# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Repeats of a comparison: which images are learned from, and which are the pool of calibration and test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_coat.comparison.data.images import Images
from monai_coat.comparison.protocol import Protocol
from monai_coat.data import split_by_group
from monai_coat.data.groups import group_of
from monai_coat.scorers import PredictedMaps

__all__ = ["Repeat", "repeats_of_saved_maps", "repeats_of_study"]

Samples = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Repeat:
    """One draw of the images to learn from, and the pool that calibration and test images are drawn from."""

    train: PredictedMaps
    pool: PredictedMaps


def repeats_of_saved_maps(images: Images, samples: Samples, protocol: Protocol) -> list[Repeat]:
    """Repeats of maps that were there before: no segmenter is trained, so each draws its training images anew.

    Args:
        images: images with saved maps.
        samples: their samples; no group is on both sides of a repeat.
        protocol: says how many repeats, the seed, and the share that is learned from.
    """
    _, learned, calibration, test = protocol.fractions
    share_of_pool = (calibration + test) / (learned + calibration + test)
    repeats = []
    for number in range(protocol.repeats):
        train, pool = split_by_group(samples, share_of_pool, protocol.seed + number)
        repeats.append(Repeat(*(_saved_maps(images.take(part)) for part in (train, pool))))
    return repeats


def repeats_of_study(train: PredictedMaps, samples: Samples, protocol: Protocol) -> list[Repeat]:
    """Repeats that never look beyond the training images: each holds out some of their groups as its pool.

    Every group is held out in exactly one of the repeats.

    Args:
        train: the images that thresholds are learned from.
        samples: their samples, which say the groups.
        protocol: says how many repeats, and the seed.
    """
    group = {str(sample["id"]): group_of(sample) for sample in samples}
    names = sorted({group[name] for name in train.ids})
    order = np.random.default_rng(protocol.seed).permutation(names)
    held_out_in = {name: place % protocol.repeats for place, name in enumerate(order)}
    repeats = []
    for number in range(protocol.repeats):
        pool = [i for i, name in enumerate(train.ids) if held_out_in[group[name]] == number]
        rest = [i for i, name in enumerate(train.ids) if held_out_in[group[name]] != number]
        repeats.append(Repeat(train.rows(rest), train.rows(pool)))
    return repeats


def _saved_maps(images: Images) -> PredictedMaps:
    return PredictedMaps(images.ids, images.image, images.label, images.probs.float() / 255)
