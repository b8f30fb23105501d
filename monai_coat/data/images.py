# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The reader of image files."""

from __future__ import annotations

import os

from monai.data import MetaTensor

from monai_coat.data.dicom_series import DicomSeries
from monai_coat.data.flat_files import flat_tensor, in_eight_bits, open_upright
from monai_coat.data.volumes import check_finite_values, read_volume
from monai_coat.files.names import is_volume, suffix_of

__all__ = ["read_image"]


def read_image(path: str | os.PathLike[str], mode: str = "RGB") -> MetaTensor:
    """Read an image file as float32 ``(channels, *spatial)``, with the values of the file.

    Photographs are turned as their EXIF orientation says: as viewers show them, and as masks are drawn on them.

    Args:
        path: PNG, JPEG, BMP, TIFF or NIfTI; or the folder of a DICOM series, see
            :class:`~monai_coat.data.DicomSeries`.
        mode: what flat images are converted to, "RGB" or, for one channel, "L"; volumes stay as they are.

    Raises:
        ValueError: naming the file, if it cannot be read; has several pages, values that are not finite, or, being
            flat, more than 8 bits a channel, which the conversion would clip.

    Example:
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=1, spatial_size=(16, 16))
        >>> read_image(root / "synthetic/images/synthetic_0000.png").shape
        torch.Size([3, 16, 16])
    """
    if os.path.isdir(path) and not suffix_of(path):
        image = DicomSeries.of(path).volume()
        check_finite_values(image, path, "image", "replace the slices that have them")
        return image
    if not is_volume(path):
        return flat_tensor(in_eight_bits(open_upright(path), mode, path), path)
    image = read_volume(path)
    check_finite_values(image, path, "image", "replace them, with numpy.nan_to_num for example")
    return image
