# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Images, masks and maps of a data set at the size of the comparison, read once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Resize
from monai.utils import convert_to_numpy
from torch import Tensor

from monai_coat.data import read_image, read_map, read_mask
from monai_coat.data.readable import check_same_kind
from monai_coat.files import replacing
from monai_coat.files.progress import Progress

__all__ = ["Images", "as_bytes", "as_probabilities", "kept_images", "load_images"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Images:
    """A data set in memory.

    Attributes:
        ids: names of the images.
        image: ``(N, 3, H, W)``, 8 bit.
        label: ``(N, 1, H, W)``, bool; of several classes ``(N, C, H, W)``.
        probs: saved probability maps of the same shape, float32, or no rows.
    """

    ids: tuple[str, ...]
    image: Tensor
    label: Tensor
    probs: Tensor

    def of_class(self, index: int) -> Images:
        """The images with one of several classes."""
        return Images(self.ids, self.image, self.label[:, index : index + 1], self.probs[:, index : index + 1])

    def take(self, samples: Sequence[Mapping[str, Any]]) -> Images:
        """The images of some samples, in their order, without those whose mask is empty at this size."""
        place = {name: index for index, name in enumerate(self.ids)}
        index = torch.tensor([place[sample["id"]] for sample in samples])
        index = index[self.label[index].flatten(1).any(1)]
        probs = self.probs[index] if len(self.probs) else self.probs
        return Images(tuple(self.ids[i] for i in index.tolist()), self.image[index], self.label[index], probs)


def load_images(samples: Sequence[Mapping[str, Any]], size: Sequence[int], path: Path) -> Images:
    """Read a data set at a size, or what an earlier run read of it.

    Args:
        samples: dictionaries with ``id`` and paths ``image``, ``label`` and perhaps ``probs``.
        size: height and width.
        path: NumPy file to keep the images in; its name must change with the contents of the files.
    """
    return kept_images(path, lambda: _read(samples, size), len(samples))


def kept_images(path: Path, read: Callable[[], dict[str, Any]], count: int) -> Images:
    """The images of a file; if there is none, they are read and written to it.

    Args:
        path: the file.
        read: gives the arrays of :class:`Images` by their names.
        count: how many images there are, for the log.
    """
    if not path.is_file():
        logger.info("reading %d images", count)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **read())
    with np.load(path) as saved:
        arrays = {name: torch.from_numpy(saved[name]) for name in ("image", "label", "probs")}
        return Images(tuple(saved["ids"].tolist()), **arrays)


def _read(samples: Sequence[Mapping[str, Any]], size: Sequence[int]) -> dict[str, Any]:
    readers: dict[str, Callable[[str], Tensor]] = {"image": read_image, "label": read_mask, "probs": read_map}
    keys = [key for key in readers if key in samples[0]]
    resize = {key: Resize(size, mode="area") for key in keys}
    resize["image"] = Resize(size, mode="bilinear", anti_aliasing=True)
    arrays: dict[str, list[Any]] = {key: [] for key in keys}
    progress = Progress(len(samples))
    for number, sample in enumerate(samples, 1):
        for key, values in arrays.items():
            check_same_kind(sample[key], sample[keys[0]])
            values.append(KEPT_AS[key](convert_to_numpy(resize[key](readers[key](sample[key]).float()))))
        if number % 500 == 0:
            logger.info("read %s images", progress.after(number))
    stacked = {key: np.stack(values) for key, values in arrays.items()}
    stacked.setdefault("probs", np.empty(0, np.float32))
    return stacked | {"ids": np.array([sample["id"] for sample in samples])}


def as_bytes(values: Any) -> Any:
    """Whole numbers of 8 bits that are nearest to the values of an array."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def as_probabilities(values: Any) -> Any:
    """Float32 in [0, 1]: rounded to 8 bits, maps that were made smaller would lose what is next to 0."""
    return np.clip(values, 0, 1).astype(np.float32)


KEPT_AS: Mapping[str, Callable[[Any], Any]] = {
    "image": as_bytes,
    "label": lambda values: values >= 0.5,
    "probs": as_probabilities,
}
