# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A population that is a list of images: drawing from it with replacement gives independent images of known risk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CLASSES, PIXELS, LESIONS, LEVELS = 2, 48, 3, 200
SPREAD, BRIGHT, DARK, HARDER, JITTER, FLIPPED = 0.5, 0.5, 0.3, 1.7, 2, 0.3
MOST_IMAGES = {True: 2, False: 6}
"""Of a patient of the hard group, and of another."""
WEIGHT = {True: 1.75, False: 0.25}
"""How many times more often hard and easy images come where the population has shifted."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """Images of 48 pixels in a row and two classes.

    Attributes:
        levels: scores ``(images, classes, pixels)`` as whole numbers of parts of 1 / 200.
        lesions: number of the lesion that a pixel belongs to, from 1, or 0; of the same shape.
        patients: whose image it is.
        hard: which of two groups it is of.
    """

    levels: NDArray[np.int64]
    lesions: NDArray[np.int64]
    patients: NDArray[np.int64]
    hard: NDArray[np.bool_]

    @classmethod
    def drawn(cls, patients: int, absent: float, seed: int) -> Pool:
        """Patients of one to six images that are nearly alike, of one or two in the hard group.

        Each lacks each class with a given probability. A lesion has one or two pixels in two of five cases, else up to
        seven; hardness differs from patient to patient,
        from lesion to lesion, and between the groups.
        """
        rng = np.random.default_rng(seed)
        hard = rng.random(patients) < 0.5
        hardness = np.exp(SPREAD * rng.standard_normal((patients, 1, 1))) * np.where(hard, HARDER, 1.0)[:, None, None]
        lesions = _lesions(rng, patients, absent)
        own = np.exp(SPREAD * rng.standard_normal((patients, CLASSES, LESIONS + 1)))
        of_pixel = hardness * np.take_along_axis(own, lesions, axis=2)
        inside = rng.random(lesions.shape) ** (BRIGHT * of_pixel)
        outside = 1 - rng.random(lesions.shape) ** (DARK / hardness)
        steps = np.floor(np.where(lesions > 0, inside, outside) * LEVELS).astype(np.int64)
        most = np.where(hard, MOST_IMAGES[True], MOST_IMAGES[False])
        owner = np.repeat(np.arange(patients), rng.integers(1, most + 1))
        levels = steps[owner] + rng.integers(-JITTER, JITTER + 1, (len(owner), *steps.shape[1:]))
        return cls(np.clip(levels, 0, LEVELS - 1), lesions[owner], owner, hard[owner])

    def __len__(self) -> int:
        return len(self.levels)

    @property
    def scores(self) -> Tensor:
        """Multiples of 1 / 200, as float32."""
        return as_scores(self.levels)

    @property
    def labels(self) -> Tensor:
        """Masks."""
        return torch.from_numpy(self.lesions > 0)

    @cached_property
    def noisy(self) -> NDArray[np.bool_]:
        """Masks in which three of ten pixels on either side of a boundary are wrong."""
        mask = self.lesions > 0
        padded = np.pad(mask, ((0, 0), (0, 0), (1, 1)), mode="edge")
        edge = (padded[..., :-2] != mask) | (padded[..., 2:] != mask)
        flips = np.random.default_rng(0).random(mask.shape) < FLIPPED
        return mask ^ (edge & flips)

    @cached_property
    def weights(self) -> Array:
        """Of each image, where the population has shifted."""
        return np.where(self.hard, WEIGHT[True], WEIGHT[False])

    @cached_property
    def of_patient(self) -> Array:
        """One over the number of images that its patient has."""
        return 1 / np.bincount(self.patients)[self.patients]

    def meta(self, image: int) -> dict[str, object]:
        """Patient, group and weight."""
        group = "hard" if self.hard[image] else "easy"
        return {"patient": str(self.patients[image]), "site": group, "weight": float(self.weights[image])}

    def draw(self, count: int, rng: np.random.Generator) -> list[int]:
        """Places of independent images."""
        return rng.integers(0, len(self), count).tolist()

    def draw_patients(self, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Places of all images of independent patients, each with the number of the draw."""
        firsts = np.searchsorted(self.patients, np.arange(self.patients[-1] + 2))
        chosen = rng.integers(0, len(firsts) - 1, count).tolist()
        return [(place, number) for number, who in enumerate(chosen) for place in range(firsts[who], firsts[who + 1])]


def as_scores(levels: NDArray[np.int64]) -> Tensor:
    """Levels as the float32 numbers next to multiples of 1 / 200."""
    return torch.from_numpy((levels / LEVELS).astype(np.float32))


def _lesions(rng: np.random.Generator, count: int, absent: float) -> NDArray[np.int64]:
    """Up to three lesions, each in its own third of the row and apart from the others."""
    shape = (count, CLASSES, LESIONS)
    third = PIXELS // LESIONS
    tiny = rng.random(shape) < 0.4
    sizes = np.where(tiny, rng.integers(1, 3, shape), rng.integers(3, 8, shape))
    starts = rng.integers(1, third - 7, shape) + third * np.arange(LESIONS)
    there = rng.random(shape) < np.array([1.0, 0.4, 0.4])
    there &= rng.random((count, CLASSES, 1)) >= absent
    pixels = np.arange(PIXELS)
    found = np.zeros((count, CLASSES, PIXELS), np.int64)
    for lesion in range(LESIONS):
        start, size = starts[..., lesion, None], sizes[..., lesion, None]
        found[(pixels >= start) & (pixels < start + size) & there[..., lesion, None]] = lesion + 1
    # Numbers without gaps: lesion 2 is the second that is there.
    ranks = np.concatenate([np.zeros((count, CLASSES, 1), np.int64), np.cumsum(there, axis=2)], axis=2)
    return np.take_along_axis(ranks, found, axis=2)
