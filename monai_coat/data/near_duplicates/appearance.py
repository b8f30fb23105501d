# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The appearance of an image: 64 bits of slow waves, a vector of fine detail, a digest of the pixels.

Tested by tests/data/near_duplicates/test_duplicates.py.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.utils.module import optional_import
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d, normalize

from monai_coat.data.flat_files import in_eight_bits, open_upright

__all__ = ["perceptual_hash"]

SIDE, KEPT = 32, 8
"""Pixels along an axis, and waves that are kept along it (8 x 8 = 64 bits)."""
CENTRE, FINE = 0.6, 64
"""Share of each axis whose detail is looked at (outside there are corners, scale bars and text), and its pixels."""

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
    return _hash(_colours(path).convert("L"))


def hash_and_centre(path: str | os.PathLike[str]) -> tuple[int, NDArray[np.uint8]]:
    """The hash of an image and its grey centre, which :func:`fine_detail` looks at."""
    grey = _colours(path).convert("L")
    edge = (1.0 - CENTRE) / 2.0
    box = (edge * grey.width, edge * grey.height, (1.0 - edge) * grey.width, (1.0 - edge) * grey.height)
    centre = grey.resize((FINE, FINE), pil_image.Resampling.BOX, box=box)
    return _hash(grey), np.asarray(centre, dtype=np.uint8)


def fine_detail(centres: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """A unit vector for each centre, whose products say how well texture agrees, whatever light and colour it is in.

    Each pixel is compared with the mean and the deviation of its surroundings of 9 by 9 pixels.
    """
    pixels = torch.from_numpy(np.stack(centres)).unsqueeze(1).float()
    mean = _smooth(pixels, 9)
    deviation = (_smooth(pixels.square(), 9) - mean.square()).clamp_min(0.0).sqrt()
    relief = _smooth((pixels - mean) / (deviation + 4.0), 3).flatten(1)  # 4 grey values are noise
    relief = relief - relief.mean(dim=1, keepdim=True)
    # The last entry matters where there is no detail at all: one blank image repeats another.
    return normalize(torch.cat([relief, torch.full((len(relief), 1), 1e-3)], dim=1))


def pixel_digest(path: str | os.PathLike[str]) -> str:
    """A digest of size and colours, whatever format they are kept in."""
    colours = _colours(path)
    return f"{colours.size}{hashlib.sha256(colours.tobytes()).hexdigest()}"


def _hash(grey: Any) -> int:
    """Signs of the slowest waves of a grey image, row by row."""
    pixels = np.asarray(grey.resize((SIDE, SIDE), pil_image.Resampling.BOX), dtype=np.float64)
    signs = _cosines() @ pixels @ _cosines().T > 0.0
    return int.from_bytes(np.packbits(signs).tobytes(), "big")


def _cosines() -> NDArray[np.float64]:
    """The slowest cosine waves, one a row: rows 1 to 8 of a discrete cosine transform, but for their scale."""
    waves: NDArray[np.float64] = np.cos(np.pi * np.outer(np.arange(1, KEPT + 1), np.arange(SIDE) + 0.5) / SIDE)
    return waves


def _smooth(images: torch.Tensor, width: int) -> torch.Tensor:
    """Means over squares of this width, at the edge over what there is of them."""
    return avg_pool2d(images, width, stride=1, padding=width // 2, count_include_pad=False)


def _colours(path: str | os.PathLike[str]) -> Any:
    """The image of a file in RGB, whatever it is kept in."""
    return in_eight_bits(open_upright(path), "RGB", path)
