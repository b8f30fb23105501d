# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Images that are there several times, found by their scores."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch.distributed as dist
from numpy.typing import NDArray

__all__ = ["Places", "copies_of", "warn_of_copies"]

logger = logging.getLogger(__name__)

Places = Mapping[int, NDArray[Any]]
"""Scores of each image by its place among all that were seen."""

FEW_VALUES = 8
"""Up to so few different values two images may share by chance: of a sure network, or of few pixels."""

SAMPLE = 64


def copies_of(images: Places) -> dict[int, int]:
    """Images with the very same scores as an earlier one, and that one, by place.

    Some sixty scores tell nearly all images apart; only those of images that agree in them are all looked at.

    Example:
        >>> scores = np.linspace(0, 1, 20, dtype=np.float32)
        >>> copies_of({0: scores, 1: scores[::-1], 2: scores.copy(), 3: scores[:5], 4: scores[:5]})
        {2: 0}
    """
    alike: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    for place in sorted(images):
        image = images[place]
        alike[image.size, image[:: image.size // SAMPLE + 1].tobytes()].append(place)
    found: dict[int, int] = {}
    for places in alike.values():
        first: dict[bytes, int] = {}
        for place in places if len(places) > 1 else ():
            digest = hashlib.sha256(images[place].tobytes()).digest()
            earlier = first.setdefault(digest, place)
            if earlier != place and (earlier in found.values() or _has_many_values(images[place])):
                found[place] = earlier
    return found


def _has_many_values(image: NDArray[Any]) -> bool:
    return any(len(np.unique(part)) > FEW_VALUES for part in (image[:4096], image))


def warn_of_copies(classes: Iterable[Places]) -> None:
    """Say in the log if images are there several times: each counts, and the promise is of fewer than it seems.

    Args:
        classes: images by place, for each class.
    """
    if dist.is_available() and dist.is_initialized() and dist.get_rank() > 0:
        return
    found: dict[int, int] = {}
    places: set[int] = set()
    for images in classes:
        found |= copies_of(images)
        places |= {*images}
    if found:
        copy = min(found)
        logger.warning(
            "calibration images must be different ones, got %d of %d with the very same scores as another, such as "
            "image %d and image %d of them; leave copies out.",
            len(found),
            len(places),
            copy + 1,
            found[copy] + 1,
        )
