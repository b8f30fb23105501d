# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Images and masks of a data set at the benchmark's size, read once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import PILReader
from monai.transforms import AsDiscreted, Compose, LoadImaged, Resized
from torch import Tensor

from monai_coat.benchmark.protocol import Protocol, digest_of
from monai_coat.data import (
    data_directory,
    group_duplicates,
    load_datalist,
    map_datalist,
    write_synthetic_dataset,
)
from monai_coat.data._atomic import replacing

__all__ = ["Images", "load_images", "samples_of"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Images:
    """A data set in memory.

    Attributes:
        ids: names of the images.
        image: ``(N, 3, H, W)``, 8 bit.
        label: ``(N, 1, H, W)``, bool.
        probs: saved probability maps ``(N, 1, H, W)``, 8 bit, or no rows.
    """

    ids: tuple[str, ...]
    image: Tensor
    label: Tensor
    probs: Tensor

    def take(self, samples: Sequence[Mapping[str, Any]]) -> Images:
        """The images of some samples, in their order, without those whose mask is empty at this size."""
        place = {name: index for index, name in enumerate(self.ids)}
        index = torch.tensor([place[sample["id"]] for sample in samples])
        index = index[self.label[index].flatten(1).any(1)]
        probs = self.probs[index] if len(self.probs) else self.probs
        return Images(tuple(self.ids[i] for i in index.tolist()), self.image[index], self.label[index], probs)


def samples_of(protocol: Protocol, dataset: str, folder: Path) -> list[dict[str, Any]]:
    """The data list of a data set of the protocol; generated images are written to ``folder`` first.

    Raises:
        FileNotFoundError: if the data is real and ``COAT_DATA_DIR`` does not say where it is.
    """
    settings = protocol.datasets[dataset]
    if "generate" in settings:
        root = folder / "generated" / dataset
        if not (root / "datasets.json").is_file():
            write_synthetic_dataset(root, **settings["generate"])
        return load_datalist(root, "synthetic")
    if "probs" in settings:
        samples = map_datalist(settings["probs"], settings["labels"], settings.get("images"))
        return group_duplicates(samples) if "images" in settings else samples
    found = data_directory()
    if found is None:
        raise FileNotFoundError(
            f"COAT_DATA_DIR must name the folder of the data collection for data set {dataset!r}, but it is unset; "
            "set it, or run the protocol 'quick', which needs none."
        )
    return load_datalist(found, settings["domain"], settings.get("sources"), settings.get("model"))


def load_images(protocol: Protocol, dataset: str, folder: Path) -> Images:
    """Read a data set, or what an earlier run read of it, at the protocol's size."""
    settings = {key: value for key, value in protocol.datasets[dataset].items() if key != "epochs"}
    path = folder / "images" / f"{dataset}-{digest_of((settings, protocol.image_size))}.npz"
    if not path.is_file():
        samples = samples_of(protocol, dataset, folder)
        logger.info("reading %d images of %s", len(samples), dataset)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **_read(samples, protocol.image_size))
    with np.load(path) as saved:
        arrays = {name: torch.from_numpy(saved[name]) for name in ("image", "label", "probs")}
        return Images(tuple(saved["ids"].tolist()), **arrays)


def _read(samples: Sequence[Mapping[str, Any]], size: Sequence[int]) -> dict[str, Any]:
    maps = [key for key in ("label", "probs") if key in samples[0]]
    read = Compose(
        [
            _loader("image", "RGB"),
            _loader(maps, "L"),
            AsDiscreted("label", threshold=0.5),
            Resized("image", size, mode="bilinear", anti_aliasing=True),
            Resized(maps, size, mode="area"),
        ]
    )
    arrays: dict[str, list[Any]] = {key: [] for key in ("image", *maps)}
    for number, sample in enumerate(samples, 1):
        found = read({key: sample[key] for key in ("image", *maps)})
        for key, values in arrays.items():
            values.append(_as_bytes(found[key], key))
        if number % 500 == 0:
            logger.info("read %d of %d images", number, len(samples))
    stacked = {key: np.stack(values) for key, values in arrays.items()}
    stacked.setdefault("probs", np.empty(0, np.uint8))
    return stacked | {"ids": np.array([sample["id"] for sample in samples])}


def _loader(keys: str | list[str], mode: str) -> LoadImaged:
    reader: Any = PILReader(converter=lambda image: image.convert(mode))
    return LoadImaged(keys, reader, ensure_channel_first=True)


def _as_bytes(values: Tensor, key: str) -> Any:
    array = values.as_tensor().numpy() if hasattr(values, "as_tensor") else values.numpy()
    return array >= 0.5 if key == "label" else np.clip(np.rint(array), 0, 255).astype(np.uint8)
