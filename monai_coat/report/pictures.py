# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The picture behind the outlines of a prediction: the image, or else its map.

Tested by tests/predictions/test_folders.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.data import read_image
from monai_coat.data.sample_maps import source_of

__all__ = ["picture_of"]


def picture_of(sample: Mapping[str, Any], maps: Tensor, index: int) -> NDArray[np.float32]:
    """The image in [0, 1] if it is there and on the map's grid, else the map itself.

    Axes are as in the map; flat images of three channels have these as colours, last.

    Args:
        sample: the image's files.
        maps: its maps ``(C, *spatial)``.
        index: the map that is shown if there is no image.
    """
    if sample["image"] != source_of(sample):
        image = read_image(sample["image"])
        if image.shape[1:] == maps.shape[1:]:
            channels: Any = image.numpy()[:3]
            values = np.moveaxis(channels, 0, -1) if channels.ndim == 3 and len(channels) == 3 else channels.mean(0)
            low, high = np.quantile(values, (0.001, 0.999))
            return np.asarray(np.clip((values - low) / max(float(high - low), 1e-6), 0, 1), np.float32)
    return np.asarray(maps[index].numpy(), np.float32)
