# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Flat image files: one page, whole, as viewers show it, or refused by name."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from monai.data import MetaTensor, PILReader
from monai.utils import optional_import
from numpy.typing import NDArray

from monai_coat.data.volumes import host_loader
from monai_coat.files.names import kind_of, suffix_of

pil_image, _ = optional_import("PIL.Image")
pil_ops, _ = optional_import("PIL.ImageOps")

__all__ = ["flat_tensor", "grey_values", "in_eight_bits", "is_lossy", "open_upright", "size_of_flat"]

FORMATS: dict[str, tuple[str, ...]] = {".png": ("PNG",), ".bmp": ("BMP",), ".tif": ("TIFF",), ".tiff": ("TIFF",)}
FORMATS |= dict.fromkeys((".jpg", ".jpeg"), ("JPEG", "MPO"))
"""Formats by ending: no other reader looks at a file, however its content may call itself."""

COLOUR_NOISE = 48
"""How far the three colours of a grey image may be apart after a lossy compression, of 255."""

TURNED = {5, 6, 7, 8}
"""EXIF orientations in which width and height change places."""


def open_upright(path: str | os.PathLike[str]) -> Any:
    """Open a flat image whole and turn it as its EXIF orientation says, as viewers do.

    Returns:
        A Pillow image with its ``format``.

    Raises:
        ValueError: if the file cannot be read, or has several pages.
    """
    try:
        with _open(path) as image:
            pages = getattr(image, "n_frames", 1)
            upright = pil_ops.exif_transpose(image)
            upright.format, upright.info = image.format, image.info
    except Exception as error:  # Pillow raises a dozen kinds about damaged files
        raise _unreadable(path, error) from None
    if pages > 1 and upright.format != "MPO":  # whose further pages are previews
        raise ValueError(f"image must have one page, got {pages} in {path}; save each page in a file of its own.")
    return upright


def size_of_flat(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of a flat image when it is upright, from its header.

    Raises:
        ValueError: if the header cannot be read.
    """
    try:
        with _open(path) as image:
            turned = image.getexif().get(0x0112) in TURNED
            return (image.height, image.width) if turned else (image.width, image.height)
    except Exception as error:
        raise _unreadable(path, error) from None


def _open(path: str | os.PathLike[str]) -> Any:
    """Open a file by the reader of its ending; what is no file is not waited for."""
    if not os.path.isfile(path):
        raise ValueError(f"it {kind_of(path)}")
    formats = FORMATS.get(suffix_of(path))
    if formats is None:
        raise ValueError(f"its ending is none of {', '.join(FORMATS)}")
    return pil_image.open(path, formats=formats)


def _unreadable(path: str | os.PathLike[str], error: Exception) -> ValueError:
    kinds = " or ".join(FORMATS.get(suffix_of(path), ("image",)))
    said = str(error) or type(error).__name__
    return ValueError(f"image must be a readable file, got {path} ({said}; read as {kinds}); replace the file.")


def flat_tensor(image: Any, path: str | os.PathLike[str]) -> MetaTensor:
    """The pixels of a Pillow image as float32 ``(channels, width, height)``, as MONAI lays them out.

    Args:
        image: the image.
        path: the file that it came from, for the metadata.
    """
    values: MetaTensor = host_loader()(path, reader=_Opened(image))
    return values


class _Opened(PILReader):
    """MONAI's reader of flat images for one that is open. MONAI tries no other reader than the one of a call."""

    def __init__(self, image: Any) -> None:
        super().__init__()
        self.image = image

    def read(self, data: Any, **_: Any) -> Any:
        """The image."""
        return self.image


def is_lossy(image: Any) -> bool:
    """Whether the values of an opened image went through a lossy compression."""
    return image.format in {"JPEG", "MPO"} or image.info.get("compression") in {"jpeg", "old-jpeg"}


def grey_values(image: Any, path: str | os.PathLike[str]) -> NDArray[Any]:
    """The values ``(height, width)`` of an image that says one thing per pixel, as they are stored.

    Of a bitmap these are 0 and 255. Colours, those of a palette too, must be grey, and alpha opaque.

    Raises:
        ValueError: if colours or alpha say something that one value does not.
    """
    if image.mode in {"1", "L", "F", "I"} or image.mode.startswith("I;16"):
        return np.asarray(image.convert("L") if image.mode == "1" else image)
    if image.mode in {"LA", "PA", "RGBA", "RGBX", "La", "RGBa"}:
        alpha = np.asarray(image)[..., -1]
        if int(alpha.min()) < 255 and image.mode != "RGBX":
            raise ValueError(
                f"masks and maps must have opaque pixels, got alpha down to {int(alpha.min())} in {path} of mode "
                f"{image.mode!r}; save the values themselves in one grey channel."
            )
    colours = np.asarray(_converted(image, "RGB", path)).astype(np.int16)
    spread = int((colours.max(-1) - colours.min(-1)).max())
    if spread > (COLOUR_NOISE if is_lossy(image) else 0):
        raise ValueError(
            f"masks and maps must be grey, got colours in {path} of mode {image.mode!r}; save the values themselves in "
            "one grey channel."
        )
    return np.asarray(image.convert("RGB").convert("L"))


def _converted(image: Any, mode: str, path: str | os.PathLike[str]) -> Any:
    try:
        return image.convert(mode)
    except ValueError as error:
        raise ValueError(
            f"image must have grey values or colours that become {mode}, got {path} of mode {image.mode!r} ({error}); "
            "save it as PNG."
        ) from None


def in_eight_bits(image: Any, mode: str, path: str | os.PathLike[str]) -> Any:
    """The image in a mode of 8 bits a channel; one of more bits, which that would clip, is refused.

    Raises:
        ValueError: if a channel has more than 8 bits, or there is no conversion.
    """
    if image.mode.startswith(("I", "F")):
        raise ValueError(
            f"image must have 8 bits a channel, got {path} of mode {image.mode!r}; save it in 8 bits, or as NIfTI."
        )
    return _converted(image, mode, path)
