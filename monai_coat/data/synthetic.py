# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Labelled images and probability maps, made from a seed, that are easy or hard by design."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["synthetic_images", "synthetic_maps"]

Array = NDArray[np.float64]
SMALLEST = 8


def synthetic_images(
    count: int, spatial_size: Sequence[int] = (64, 64), seed: int = 0, channels: int = 3
) -> list[dict[str, Any]]:
    """Images of one or two bright blobs on a textured ground, from obvious to hardly visible.

    A difficulty in [0, 1] is drawn for each image, more often near the ends than in between. The higher it is, the
    fainter the contrast, the wider the blur of the boundary and the stronger the noise, the more look-alikes without a
    label there are, and the more of the foreground fades out. So one threshold cannot suit all images.

    Image ``i`` depends on ``seed`` and ``i`` alone: a longer list begins with the shorter one.

    Args:
        count: how many images.
        spatial_size: size of each image, ``(H, W)`` or ``(H, W, D)``, at least 8 along each axis.
        seed: non-negative seed.
        channels: channels of the images, 3 for colour.

    Returns:
        Dictionaries with ``id``; ``image``, float32 of shape ``(channels, *spatial_size)`` in [0, 1]; ``label``,
        float32 of shape ``(1, *spatial_size)`` in {0, 1}, never without foreground; and ``difficulty``.

    Raises:
        ValueError: if ``count``, ``spatial_size`` or ``channels`` is too small, or there are not 2 or 3 spatial axes.

    Example:
        >>> sample = synthetic_images(2, spatial_size=(32, 32, 16), channels=1)[1]
        >>> sample["id"], tuple(sample["image"].shape), tuple(sample["label"].shape)
        ('synthetic_0001', (1, 32, 32, 16), (1, 32, 32, 16))
    """
    grid = _grid(count, spatial_size)
    if channels < 1:
        raise ValueError(f"channels must be at least 1, got {channels}; 3 is colour, 1 is grey.")
    samples = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        difficulty = float(rng.beta(0.7, 0.7))
        level = _lesion(rng, grid)
        image = _appearance(rng, grid, level, difficulty, channels)
        samples.append(
            {"id": f"synthetic_{index:04}", "image": _tensor(image), "label": _label(level), "difficulty": difficulty}
        )
    return samples


def synthetic_maps(count: int, spatial_size: Sequence[int] = (64, 64), seed: int = 0) -> list[dict[str, torch.Tensor]]:
    """Probability maps as an imperfect network would give them, with the reference masks.

    The logit is proportional to the signed distance to the boundary, plus a smooth error and an offset. The steepness,
    the error and above all the offset differ between images, so that the threshold that keeps a wanted share of the
    foreground is close to 0 for some and close to 1 for others. It can be told from the map, for instance by its peak.

    Map ``i`` depends on ``seed`` and ``i`` alone: a longer list begins with the shorter one.

    Args:
        count: how many maps.
        spatial_size: size of each map, ``(H, W)`` or ``(H, W, D)``, at least 8 along each axis.
        seed: non-negative seed.

    Returns:
        Dictionaries with ``probs``, float32 of shape ``(1, *spatial_size)`` in (0, 1), and ``label``, float32 of the
        same shape in {0, 1}, never without foreground.

    Raises:
        ValueError: if ``count`` or ``spatial_size`` is too small, or there are not 2 or 3 spatial axes.

    Example:
        >>> sample = synthetic_maps(1, spatial_size=(16, 16))[0]
        >>> tuple(sample["probs"].shape), bool((sample["probs"] < 1).all())
        ((1, 16, 16), True)
    """
    grid = _grid(count, spatial_size)
    samples = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        level = _lesion(rng, grid)
        error = rng.uniform(0.3, 1.5) * _waves(rng, grid, 1.5) + 0.3 * _waves(rng, grid, 6.0)
        logit = rng.uniform(6.0, 20.0) * level + rng.normal(0.0, 2.0) + error
        # A soft limit instead of a clip: no two different logits become one probability, and none rounds to 0 or 1.
        probs = _sigmoid(10.0 * np.tanh(logit / 10.0))
        samples.append({"probs": _tensor(probs[None]), "label": _label(level)})
    return samples


def _grid(count: int, spatial_size: Sequence[int]) -> Array:
    """Checked coordinates of the pixel centres, ``(axes, *spatial)``; the shortest axis runs from -1 to 1."""
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}; ask for one or more.")
    if len(spatial_size) not in (2, 3) or min(spatial_size) < SMALLEST:
        raise ValueError(
            f"spatial_size must be 2 or 3 lengths of at least {SMALLEST}, got {tuple(spatial_size)}; use (64, 64)."
        )
    axes = [(2.0 * np.arange(length) + 1.0 - length) / min(spatial_size) for length in spatial_size]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def _waves(rng: np.random.Generator, grid: Array, frequency: float, number: int = 6) -> Array:
    """A smooth random field of mean 0 and variance 1: plane waves of random direction and about this frequency."""
    vectors = rng.normal(size=(number, len(grid))) * frequency / np.sqrt(len(grid))
    phases = rng.uniform(0.0, 2.0 * np.pi, size=(number, *[1] * len(grid)))
    angles: Array = np.pi * np.tensordot(vectors, grid, axes=1) + phases
    field: Array = np.cos(angles).sum(axis=0) * np.sqrt(2.0 / number)
    return field


def _blob(rng: np.random.Generator, grid: Array, radius: tuple[float, float], wobble: float) -> Array:
    """About the signed distance to the boundary of a perturbed ellipsoid, positive inside, in units of the grid."""
    extent = np.abs(grid).max(axis=tuple(range(1, grid.ndim)))
    centre = rng.uniform(-0.6, 0.6, size=len(grid)) * extent
    radii = rng.uniform(*radius) * rng.uniform(0.7, 1.3, size=len(grid))
    rotation = np.linalg.qr(rng.normal(size=(len(grid), len(grid))))[0]
    offset = grid - centre.reshape(-1, *[1] * len(grid))
    turned = np.tensordot(rotation, offset, axes=1) / radii.reshape(-1, *[1] * len(grid))
    distance: Array = (1.0 - np.sqrt((turned**2).sum(axis=0)) + wobble * _waves(rng, grid, 2.0)) * radii.mean()
    return distance


def _lesion(rng: np.random.Generator, grid: Array) -> Array:
    """What is to be found: one blob, now and then with a smaller second one; some pixel is always inside."""
    level = _blob(rng, grid, (0.2, 0.6), 0.12)
    if rng.random() < 0.25:
        level = np.maximum(level, _blob(rng, grid, (0.12, 0.25), 0.12))
    return level - min(float(level.max()), 0.0)


def _appearance(rng: np.random.Generator, grid: Array, level: Array, difficulty: float, channels: int) -> Array:
    """The image, ``(channels, *spatial)``, in which the lesion and its look-alikes are to be seen."""
    contrast, blur = 0.45 - 0.33 * difficulty, 0.02 + 0.13 * difficulty**2
    fading = 1.0 - 0.7 * difficulty * _sigmoid(3.0 * _waves(rng, grid, 1.0))
    scene = contrast * fading * _sigmoid(level / blur)
    for _ in range(rng.poisson(2.5 * difficulty)):
        other = _blob(rng, grid, (0.12, 0.4), 0.12)
        strength = contrast * rng.uniform(0.3, 0.4 + 0.6 * difficulty)
        scene = np.maximum(scene, strength * _sigmoid(other / blur))
    scene = scene + 0.02 * _waves(rng, grid, 1.0) + (0.01 + 0.02 * difficulty) * _waves(rng, grid, 5.0)
    shape = (channels, *[1] * len(grid))
    ground, tint = rng.uniform(0.2, 0.45, size=shape), rng.uniform(0.7, 1.0, size=shape)
    noise = rng.normal(size=(channels, *level.shape)) * (0.015 + 0.055 * difficulty)
    return np.clip(ground + tint * scene + noise, 0.0, 1.0)


def _sigmoid(values: Array) -> Array:
    """The logistic function, safe for large arguments."""
    result: Array = 0.5 * (1.0 + np.tanh(0.5 * values))
    return result


def _label(level: Array) -> torch.Tensor:
    """The reference mask, with a channel axis."""
    return _tensor((level >= 0.0)[None])


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    """A float32 tensor of its own memory."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
