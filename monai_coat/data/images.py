# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The reader of image files."""

from __future__ import annotations

import os
from typing import Any

from monai.data import PILReader
from monai.transforms import LoadImage
from torch import Tensor

from monai_coat.files.names import suffix_of

__all__ = ["read_image"]


def read_image(path: str | os.PathLike[str], mode: str = "RGB") -> Tensor:
    """Read an image file as ``(channels, *spatial)``, with the values of the file.

    Args:
        path: PNG, JPEG, BMP, TIFF or NIfTI.
        mode: what flat images are converted to, "RGB" or, for one channel, "L"; volumes stay as they are.

    Example:
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=1, spatial_size=(16, 16))
        >>> read_image(root / "synthetic/images/synthetic_0000.png").shape
        torch.Size([3, 16, 16])
    """
    is_volume = suffix_of(path).startswith(".nii")
    reader = None if is_volume else PILReader(converter=lambda image: image.convert(mode))
    load: Any = LoadImage(reader, image_only=True, ensure_channel_first=True)
    values: Tensor = load(path).as_tensor()
    return values
