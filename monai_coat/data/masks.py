# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The reader of reference masks."""

from __future__ import annotations

import os

from torch import Tensor

from monai_coat.data.images import read_image

__all__ = ["read_mask"]


def read_mask(path: str | os.PathLike[str]) -> Tensor:
    """Read a mask of one class as bool ``(1, *spatial)``: foreground is above half of the largest value.

    So masks of 0 and 1, of 0 and 255, and those whose edges or compression have values in between are read alike, by
    every command.

    Args:
        path: an image file or a volume.

    Example:
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=1, spatial_size=(16, 16))
        >>> mask = read_mask(root / "synthetic/masks/synthetic_0000.png")
        >>> mask.shape, mask.dtype
        (torch.Size([1, 16, 16]), torch.bool)
    """
    values = read_image(path, "L")
    mask: Tensor = values > values.max() / 2
    return mask
