# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Reading of images, masks and label maps as transforms: the package's readers in a pipeline."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Hashable, Mapping
from typing import Any

import nibabel
import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from numpy.typing import NDArray

from monai_coat.data import read_image, read_label_map, read_mask, to_grid
from monai_coat.data.readable import check_same_kind
from monai_coat.files.names import is_volume

__all__ = [
    "ReadImage",
    "ReadImageD",
    "ReadImageDict",
    "ReadImaged",
    "ReadLabelMapD",
    "ReadLabelMapDict",
    "ReadLabelMapd",
    "ReadMaskD",
    "ReadMaskDict",
    "ReadMaskd",
]

orientations: Any = nibabel.orientations

Path_ = str | os.PathLike[str]


class ReadImage(Transform):
    """Image of a file, by :func:`~monai_coat.data.read_image`: upright, and refused rather than clipped.

    In place of MONAI's ``LoadImage``, which clips flat images of more than 8 bits, reads the first of several pages,
    and tries further readers where the named one fails.

    Args:
        mode: what flat images are converted to, "RGB" or "L"; volumes stay as they are.

    Example:
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=1, spatial_size=(16, 16))
        >>> ReadImage()(root / "synthetic/images/synthetic_0000.png").shape
        torch.Size([3, 16, 16])
    """

    def __init__(self, mode: str = "RGB") -> None:
        self.mode = mode

    def __call__(self, path: Path_) -> MetaTensor:
        """The image ``(channels, *spatial)`` in float32."""
        return read_image(path, self.mode)


class ReadImaged(MapTransform):
    """Dictionary form of :class:`ReadImage`.

    Args:
        keys: paths of images.
        mode: see :class:`ReadImage`.
        allow_missing_keys: whether keys may be missing.
    """

    def __init__(self, keys: KeysCollection, mode: str = "RGB", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = ReadImage(mode)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each path by its image."""
        return {**data, **{key: self.transform(data[key]) for key in self.key_iterator(data)}}


class _ReadLabeld(MapTransform):
    """A reader of labels that lie where their image lies."""

    def __init__(self, keys: KeysCollection, image_key: str | None = "image", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each path by its label.

        Raises:
            ValueError: naming the file, if it cannot be read, or does not lie on the image.
        """
        image = data.get(self.image_key)
        return {**data, **{key: self._placed(data[key], image) for key in self.key_iterator(data)}}

    def _placed(self, path: Path_, image: Any) -> MetaTensor:
        label = self.read(path)
        if self.image_key is None:
            return label
        meta: Mapping[str, Any] = getattr(image, "meta", {})
        if "spatial_shape" not in meta:
            raise ValueError(
                f"{self.image_key} must be read before its label, with metadata, got {type(image).__name__} beside "
                f"{path}; put the reader of images first, or set image_key to None to compare nothing."
            )
        size = tuple(int(length) for length in meta["spatial_shape"])
        source = str(meta.get("filename_or_obj", "the image"))
        check_same_kind(path, source)
        if is_volume(path) and "original_affine" in meta and len(size) == label.dim() - 1:
            return to_grid(label, (_affine_as_read(meta, size), size), (path, source))
        if size != tuple(label.shape[1:]):
            raise ValueError(
                f"label must have the size of its image, got {tuple(label.shape[1:])} of {path} and {size} of "
                f"{source}; replace the wrong one or leave the sample out."
            )
        return label

    @abstractmethod
    def read(self, path: Path_) -> MetaTensor:
        """The label of a file."""


def _affine_as_read(meta: Mapping[str, Any], size: tuple[int, ...]) -> NDArray[np.float64]:
    """The affine of an image as its reader gave it, before any transform; MONAI keeps that of the file."""
    affine = np.asarray(meta["original_affine"], dtype=float)
    if not meta.get("as_closest_canonical") or len(size) != 3:
        return affine
    steps = orientations.io_orientation(affine)
    stored = [size[int(place)] for place in steps[:, 0]]  # the size is that of the turned volume
    return np.asarray(affine @ orientations.inv_ornt_aff(steps, stored))


class ReadMaskd(_ReadLabeld):
    """Masks of one class, 0 or 1 in float32, by :func:`~monai_coat.data.read_mask`, on the grid of their image.

    That is the grid on which the image was read, whatever was done to it since: there MONAI's ``Invertd`` and
    :class:`~monai_coat.transforms.RestoreGridd` bring predictions back. Where transforms should turn or resample both
    alike, read both before.

    Args:
        keys: paths of masks.
        threshold: foreground is where a mask is at least this; None: masks are of 0 and 1, or of 0 and 255, and JPEG
            files are cut at 128.
        image_key: the image that they are of, read before. A mask must have its size; that of a volume, whose image is
            one too, is brought to the order of axes in which the image was read, and must lie on it. None: nothing is
            compared.
        allow_missing_keys: whether keys may be missing.

    Example:
        >>> from monai_coat.data import load_datalist, write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=1, spatial_size=(16, 16))
        >>> sample = ReadMaskd("label")(ReadImaged("image")(load_datalist(root, "synthetic")[0]))
        >>> sample["label"].shape
        torch.Size([1, 16, 16])
    """

    def __init__(
        self,
        keys: KeysCollection,
        threshold: float | None = None,
        image_key: str | None = "image",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, image_key, allow_missing_keys)
        self.threshold = threshold

    def read(self, path: Path_) -> MetaTensor:
        """The mask of a file."""
        mask: Any = read_mask(path, self.threshold).float()
        return mask  # type: ignore[no-any-return]


class ReadLabelMapd(_ReadLabeld):
    """Label maps of several classes, by :func:`~monai_coat.data.read_label_map`, on the grid of their image.

    Which grid that is, says :class:`ReadMaskd`.

    :class:`~monai_coat.transforms.ClassMasksd` makes masks of them.

    Args:
        keys: paths of label maps.
        image_key: see :class:`ReadMaskd`.
        allow_missing_keys: whether keys may be missing.
    """

    def read(self, path: Path_) -> MetaTensor:
        """The label map of a file."""
        return read_label_map(path)


ReadImageD = ReadImageDict = ReadImaged
ReadMaskD = ReadMaskDict = ReadMaskd
ReadLabelMapD = ReadLabelMapDict = ReadLabelMapd
