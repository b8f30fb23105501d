# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The reader of image files."""

from __future__ import annotations

import os
from typing import Any

from monai.data import PILReader
from monai.transforms import LoadImage
from monai.utils import optional_import
from torch import Tensor

from monai_coat.files.names import suffix_of

pil_image, _ = optional_import("PIL.Image")

__all__ = ["read_image"]


def read_image(path: str | os.PathLike[str], mode: str = "RGB") -> Tensor:
    """Read an image file as ``(channels, *spatial)``, with the values of the file.

    Args:
        path: PNG, JPEG, BMP, TIFF or NIfTI.
        mode: what flat images are converted to, "RGB" or, for one channel, "L"; volumes stay as they are.

    Raises:
        ValueError: if a flat image has more than 8 bits a channel, which the conversion would clip.

    Example:
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=1, spatial_size=(16, 16))
        >>> read_image(root / "synthetic/images/synthetic_0000.png").shape
        torch.Size([3, 16, 16])
    """
    is_volume = suffix_of(path).startswith(".nii")
    if not is_volume:
        _check_depth(path)
    reader = None if is_volume else PILReader(converter=lambda image: image.convert(mode))
    load: Any = LoadImage(reader, image_only=True, ensure_channel_first=True)
    values: Tensor = load(path).as_tensor()
    return values


def _check_depth(path: str | os.PathLike[str]) -> None:
    try:
        with pil_image.open(path) as image:
            mode = image.mode
    except OSError:  # whoever reads the file says what is wrong with it
        return
    if mode.startswith(("I", "F")):
        raise ValueError(
            f"path must be an image of 8 bits a channel, got {path} of mode {mode!r}; save it in 8 bits, or as NIfTI."
        )
