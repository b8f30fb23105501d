# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Synthetic images as files, described in the way :func:`~monai_coat.data.load_datalist` reads."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from monai.utils.module import optional_import

from monai_coat.data.synthetic import synthetic_images
from monai_coat.files import replacing, write_json

__all__ = ["write_synthetic_dataset"]

DOMAIN = "synthetic"
SOURCE = "synthetic"

pil_image, _ = optional_import("PIL.Image")


def write_synthetic_dataset(
    root: str | os.PathLike[str], count: int, spatial_size: Sequence[int] = (96, 96), seed: int = 0, classes: int = 1
) -> None:
    """Write images of :func:`synthetic_images` as a collection with the one domain ``"synthetic"``.

    Two-dimensional images become RGB PNG files with masks of 0 and 255, volumes NIfTI files with labels of 0 and 1.
    Most samples are a group of their own; now and then two or three neighbours share one. An earlier collection at the
    same place is overwritten; its description is replaced last, whole or not at all.

    Args:
        root: folder of the collection; made if it does not exist.
        count: how many samples.
        spatial_size: ``(H, W)`` or ``(H, W, D)``, at least 8 along each axis.
        seed: non-negative seed; a larger collection of the same seed begins with the smaller one.
        classes: 1, or 2 for volumes whose foreground is 1 in front of its middle and 2 behind, along the second axis.

    Raises:
        ValueError: if ``count``, ``spatial_size`` or ``classes`` is not as described.

    Example:
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=2, spatial_size=(16, 16))
        >>> sorted(str(path.relative_to(root).as_posix()) for path in root.glob("*/masks/*"))
        ['synthetic/masks/synthetic_0000.png', 'synthetic/masks/synthetic_0001.png']
    """
    if classes not in (1, 2) or (classes == 2 and len(spatial_size) == 2):
        raise ValueError(f"classes must be 1, or 2 for volumes, got {classes} for {len(spatial_size)} axes.")
    folder = Path(root)
    images = synthetic_images(count, spatial_size, seed, channels=3 if len(spatial_size) == 2 else 1)
    write = _write_2d if len(spatial_size) == 2 else _write_3d
    samples = []
    for sample, group in zip(images, _groups(count, seed), strict=True):
        if classes == 2:
            sample["label"] = _halved(sample["label"])
        foreground = float((sample["label"] > 0).float().mean())
        samples.append(
            {
                "id": sample["id"],
                "domain": DOMAIN,
                "source": SOURCE,
                "original_id": sample["id"],
                **write(folder, sample),
                "fg_fraction": round(foreground, 6),
                "empty": foreground == 0.0,
                "group": group,
                "difficulty": round(sample["difficulty"], 6),
            }
        )
    source = {"domain": DOMAIN, "title": f"Synthetic images, seed {seed}", "licence": "Apache-2.0", "count": count}
    content = {"format": 1, "part": "all", "sources": {SOURCE: source}, "prediction_models": {}, "samples": samples}
    write_json(folder / "datasets.json", content)


def _groups(count: int, seed: int) -> list[str]:
    """A group for every index: mostly new ones, at times one that two or three neighbours share."""
    rng = np.random.default_rng([seed, 0, 1])
    groups: list[str] = []
    while len(groups) < count:
        groups += [f"{DOMAIN}_group{len(groups):04}"] * int(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1]))
    return groups[:count]


def _write_2d(root: Path, sample: dict[str, Any]) -> dict[str, Any]:
    """Write the PNG files; return their places and size, in the order width, height."""
    image, label = _bytes(sample["image"]).transpose(1, 2, 0), _bytes(sample["label"])[0]
    places = _places(sample["id"], {"image": "images", "mask": "masks"}, ".png")
    for name, values in ((places["image"], image), (places["mask"], label)):
        with replacing(root / name) as temporary:
            pil_image.fromarray(values).save(temporary, format="PNG")
    return {**places, "size": [label.shape[1], label.shape[0]]}


def _write_3d(root: Path, sample: dict[str, Any]) -> dict[str, Any]:
    """Write the NIfTI files, of 1 mm voxels; return their places and size."""
    places = _places(sample["id"], {"image": "images", "label": "labels"}, ".nii.gz")
    for key, dtype in (("image", np.float32), ("label", np.uint8)):
        array = sample[key][0].numpy().astype(dtype)
        volume = nibabel.Nifti1Image(array, np.eye(4))  # type: ignore[no-untyped-call]
        with replacing(root / places[key]) as temporary:
            temporary.write_bytes(gzip.compress(volume.to_bytes(), compresslevel=1, mtime=0))
    return {**places, "size": list(sample["label"].shape[1:])}


def _halved(label: torch.Tensor) -> torch.Tensor:
    """Labels of 1 in front of the middle of the foreground and 2 behind, along the second axis of ``(1, H, W, D)``."""
    places = torch.arange(label.shape[2])[None, None, :, None].expand_as(label)
    middle = places[label > 0].float().median()
    return torch.where(places <= middle, label, 2 * label)


def _places(name: str, folders: dict[str, str], suffix: str) -> dict[str, str]:
    """Paths relative to the root."""
    return {key: f"{DOMAIN}/{folder}/{name}{suffix}" for key, folder in folders.items()}


def _bytes(values: torch.Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Values in [0, 1] as 8-bit numbers."""
    return np.rint(values.numpy() * 255.0).astype(np.uint8)
