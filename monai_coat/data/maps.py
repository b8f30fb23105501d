# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The reader of saved probability maps."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import optional_import

from monai_coat.data.arrays import read_array, to_channels_first
from monai_coat.data.flat_files import flat_tensor, grey_values, open_upright
from monai_coat.data.volumes import VALUES, check_finite_values, read_volume
from monai_coat.files.names import is_array, is_volume
from monai_coat.functional import float32_below

pil_image, _ = optional_import("PIL.Image")

__all__ = ["as_probabilities", "read_channels", "read_map"]

FLOATS = {torch.float16: "float16", torch.float64: "float64"}
"""Names of how files hold probabilities; of float32 it is "float"."""

ROUNDING = 1e-5
"""How far above 1 a probability may be by rounding."""

COARSE = 1e-3
"""How far it may be in half precision."""

SCALES = {1: 255, 2: 65535}
"""Probability 1 in whole numbers of so many bytes."""

Path_ = str | os.PathLike[str]


def read_map(path: Path_) -> MetaTensor:
    """Read a probability map as float32 ``(1, *spatial)`` in [0, 1].

    Of flat images the largest whole number is probability 1: 255 of 8 bits, 65535 of 16 bits; floats are taken as they
    are. Quotients and numbers in double precision are rounded down, so that the file's own values pass the same
    cutoffs. What rounding put just above 1 is 1.

    Raises:
        ValueError: naming the file, if it cannot be read, has several channels or colours, or values outside [0, 1].

    Example:
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=1, spatial_size=(16, 16))
        >>> float(read_map(root / "synthetic/masks/synthetic_0000.png").max())
        1.0
    """
    values = read_channels(path)
    if values.shape[0] != 1:
        raise ValueError(f"map must have one channel, got {values.shape[0]} in {path}; save one file for each class.")
    return values


def read_channels(path: Path_, axes: str = "") -> MetaTensor:
    """Read the maps of a file as float32 ``(channels, *spatial)`` in [0, 1]; otherwise as :func:`read_map`.

    Args:
        path: a flat image, NIfTI, NRRD or one of NumPy's files.
        axes: of NumPy's files, see :func:`~monai_coat.data.axes_that_fit`.

    Raises:
        ValueError: naming the file, if it cannot be read, or has values outside [0, 1].
    """
    if is_volume(path):
        return as_probabilities(_exact(read_volume(path, None)), path)
    if is_array(path):
        return as_probabilities(_of_array(path, axes), path)
    return as_probabilities(_flat_map(path), path)


def as_probabilities(values: MetaTensor, path: Path_) -> MetaTensor:
    """Values of a file as float32 in [0, 1], rounded down.

    Raises:
        ValueError: naming the file, if they are outside, or not finite.
    """
    check_finite_values(values, path, "probs", "write 0 where nothing is predicted")
    low, high = float(values.min()), float(values.max())
    rounding = COARSE if values.dtype == torch.float16 else ROUNDING
    if not 0 <= low <= high <= 1 + rounding:
        raise ValueError(
            f"probs must be in [0, 1] (whole numbers: 0 to 255 in 8 bits), got {low:.9g} to {high:.9g} in {path}; save "
            "probabilities, not logits."
        )
    below = float32_below(values.as_tensor()).float()
    kind = FLOATS.get(values.dtype, "float")
    return MetaTensor(below.clamp(max=1) if high > 1 else below, meta={VALUES: kind, **values.meta})


def _exact(values: MetaTensor) -> MetaTensor:
    """Values in a type that holds them: whole numbers of a volume in double precision."""
    return values if values.dtype in (torch.float16, torch.float32, torch.float64) else values.double()  # type: ignore[return-value]


def _of_array(path: Path_, axes: str) -> MetaTensor:
    array = read_array(path)
    if array.dtype.kind != "f":
        raise ValueError(
            f"probs must be floating point in NumPy's files, got {array.dtype} in {path}; save probabilities, or masks "
            "as masks."
        )
    if len(axes) != array.ndim:
        raise ValueError(f"axes must name the {array.ndim} axes of {path}, got {axes!r}; give it, as in --axes cyx.")
    native: Any = array.astype(array.dtype.newbyteorder("="), copy=False)
    if native.dtype.itemsize > 8:
        native = native.astype(np.float64)
    return MetaTensor(
        torch.from_numpy(np.ascontiguousarray(to_channels_first(native, axes)).copy()),
        meta={"filename_or_obj": str(path)},
    )


def _flat_map(path: Path_) -> MetaTensor:
    image = open_upright(path)
    pixels = grey_values(image, path)
    scale = 1 if pixels.dtype.kind == "f" else SCALES.get(pixels.dtype.itemsize, 0)
    if not scale:
        raise ValueError(f"map must have 8 or 16 bits, or floats, got {path} of mode {image.mode!r}; save it in one.")
    values: Any = flat_tensor(pil_image.fromarray(pixels), path).double() / scale
    values.meta[VALUES] = "float" if scale == 1 else f"{8 * pixels.dtype.itemsize} bit"
    return values  # type: ignore[no-any-return]
