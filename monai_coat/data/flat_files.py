# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Flat image files: one page, whole, as viewers show it, or refused by name."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np
from monai.data import MetaTensor, PILReader
from monai.utils import optional_import
from numpy.typing import NDArray

from monai_coat.data.loading import load_by
from monai_coat.files.names import kind_of, suffix_of

pil_image, _ = optional_import("PIL.Image")
pil_ops, _ = optional_import("PIL.ImageOps")

__all__ = [
    "BITS",
    "check_kept",
    "flat_tensor",
    "grey_values",
    "has_eight_bits",
    "in_eight_bits",
    "is_lossy",
    "open_upright",
    "size_of_flat",
]

FORMATS: dict[str, tuple[str, ...]] = {".png": ("PNG",), ".bmp": ("BMP",), ".tif": ("TIFF",), ".tiff": ("TIFF",)}
FORMATS |= dict.fromkeys((".jpg", ".jpeg"), ("JPEG", "MPO"))
"""Formats by ending: no other reader looks at a file, however its content may call itself."""

COLOUR_NOISE = 48
"""How far the three colours of a grey image may be apart after a lossy compression, of 255."""

BITS = "bits"
"""Where an opened image keeps in its ``info`` how many bits a value has in the file."""

PHOTOMETRIC, SAMPLES, SAMPLE_FORMAT, BITS_PER_SAMPLE = 262, 277, 339, 258
"""Numbers of TIFF's fields."""

TURNED = {5, 6, 7, 8}
"""EXIF orientations in which width and height change places."""


def open_upright(path: str | os.PathLike[str]) -> Any:
    """Open a flat image whole and turn it as its EXIF orientation says, as viewers do.

    Returns:
        A Pillow image with its ``format``.

    Raises:
        ValueError: if the file cannot be read, has several pages, or values that would be read as others.
    """
    try:
        with _open(path) as image:
            check_kept(image, path)
            bits = _bits(image)
            pages = getattr(image, "n_frames", 1)
            upright = pil_ops.exif_transpose(image)
            upright.format, upright.info = image.format, {**image.info, BITS: bits}
    except _ChangedValuesError:
        raise
    except Exception as error:  # Pillow raises a dozen kinds about damaged files
        raise _unreadable(path, error) from None
    if pages > 1 and upright.format != "MPO":  # whose further pages are previews
        raise ValueError(f"image must have one page, got {pages} in {path}; save each page in a file of its own.")
    return upright


def size_of_flat(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of a flat image when it is upright, from its header.

    Raises:
        ValueError: if the header cannot be read, or says that values would be read as others.
    """
    try:
        with _open(path) as image:
            check_kept(image, path)
            turned = image.getexif().get(0x0112) in TURNED
            return (image.height, image.width) if turned else (image.width, image.height)
    except _ChangedValuesError:
        raise
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


class _ChangedValuesError(ValueError):
    """Pillow would read other values than there are in a file, without a word."""


def _bits(image: Any) -> int:
    """Bits of a value in the file, by its header: the mode says 8 of colours that have 16."""
    if image.format == "TIFF":
        return int(max(image.tag_v2.get(BITS_PER_SAMPLE, (1,))))
    # How a PNG file packs values is part of what its decoder is told, such as "RGB;16B".
    packed = re.search(r";(\d+)", str(image.tile[0][3])) if image.format == "PNG" and image.tile else None
    return int(packed[1]) if packed else 8


def check_kept(image: Any, path: str | os.PathLike[str]) -> None:
    """Refuse an image of which Pillow drops bits or channels, or takes black for white in some types only.

    Args:
        image: as Pillow opened it, its pixels not loaded.
        path: its name, for messages.

    Raises:
        ValueError: if its values would be read as others.
    """
    bits, fields = _bits(image), image.tag_v2 if image.format == "TIFF" else {}
    if bits > 8 and not image.mode.startswith(("I", "F")):
        what = f"8 bits a channel, or one grey channel, got {bits} bits in the channels of"
    elif bits not in {1, 2, 4, 8, 16, 32}:
        what = f"1, 2, 4, 8, 16 or 32 bits a value, got {bits} in"
    elif bits > 8 and fields.get(PHOTOMETRIC) == 0:
        what = f"black as 0 if values have more than 8 bits, got {bits} bits and white as 0 (photometric) in"
    elif bits == 8 and 2 in fields.get(SAMPLE_FORMAT, ()):
        what = "values from 0 on in 8 bits, got signed ones in"
    elif len(image.getbands()) == 1 < fields.get(SAMPLES, 1):
        what = f"channels with a meaning, got {fields[SAMPLES]} of which all but one are unspecified in"
    else:
        return
    raise _ChangedValuesError(f"image must have {what} {path}; convert it, to PNG of 8 bits for example, or to NIfTI.")


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
    return load_by(_Opened(image), path)


class _Opened(PILReader):
    """MONAI's reader of flat images for one that is open."""

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


def has_eight_bits(path: str | os.PathLike[str]) -> bool:
    """Whether a flat image has at most 8 bits a channel, by its header."""
    with _open(path) as image:
        return not image.mode.startswith(("I", "F"))


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
