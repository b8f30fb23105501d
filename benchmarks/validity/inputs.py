# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the experiments run on: real maps and volumes where they are at hand, generated ones where not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from monai.data import PILReader
from monai.transforms import LoadImage
from torch import Tensor

from monai_coat.calibration import Risk, Statistic
from monai_coat.data import load_datalist, synthetic_maps

Merged = TypeVar("Merged", bound=Statistic)


@dataclass(frozen=True)
class Scale:
    """How much is drawn; the default is enough for the page.

    Attributes:
        splits: divisions of images into halves that calibrate and test.
        maps: most probability maps.
        volumes: most volumes.
        epochs: epochs of the network that segments the volumes.
        draws: simulated calibration sets.
        files: statistic files that are attacked.
        images: generated images that a network of the pipelines is trained, calibrated and tested on, of each.
    """

    splits: int = 20
    maps: int = 400
    volumes: int = 200
    epochs: int = 25
    draws: int = 2000
    files: int = 50
    images: int = 150


QUICK = Scale(splits=2, maps=60, volumes=24, epochs=2, draws=40, files=2, images=30)


@dataclass(frozen=True)
class LabelledMap:
    """Score maps ``(1, C, *spatial)`` of an image and its reference masks of the same shape, bool."""

    scores: Tensor
    label: Tensor

    @property
    def pair(self) -> tuple[Tensor, Tensor]:
        """Both, as arguments."""
        return self.scores, self.label


@dataclass(frozen=True)
class Inputs:
    """Data, place for results, and scale of the experiments.

    Attributes:
        root: folder of real data, or None for generated data.
        folder: where results are kept.
        scale: how much is drawn.
    """

    root: Path | None
    folder: Path
    scale: Scale = Scale()

    @cached_property
    def maps(self) -> list[LabelledMap]:
        """Probability maps of polyps by PraNet, or generated ones, with masks."""
        if self.root is None:
            samples = synthetic_maps(min(self.scale.maps, 200), (96, 96))
            return [LabelledMap(sample["probs"][None], sample["label"][None] > 0) for sample in samples]
        listed = load_datalist(self.root, "polyp", model="pranet")[: self.scale.maps]
        pairs = [(grey(sample["probs"]), grey(sample["label"]) >= 0.5) for sample in listed]
        return [LabelledMap(scores, label) for scores, label in pairs if label.any()]

    @property
    def data_digest(self) -> str:
        """Something that changes with the files of real data; empty for generated data."""
        if self.root is None:
            return ""
        paths = [*self.root.glob("polyp/predictions/pranet/*"), *self.root.glob("polyp/masks/*")]
        paths += [self.root / "datasets.json", *self.root.glob("hippocampus/*/*.nii.gz")]
        rows = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(paths)]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def grey(path: str) -> Tensor:
    """An 8-bit image as ``(1, 1, W, H)`` in [0, 1]."""
    load = LoadImage(PILReader(converter=lambda image: image.convert("L")), image_only=True, ensure_channel_first=True)
    return load(path).as_tensor()[None].float() / 255


def halves(count: int, split: int, calibrating: float = 0.5) -> tuple[list[int], list[int]]:
    """A random division into places that calibrate and places that test, the same for the same number."""
    order = np.random.default_rng([split, count]).permutation(count)
    size = round(calibrating * count)
    return order[:size].tolist(), order[size:].tolist()


def statistics_of(risk: Risk, images: Sequence[LabelledMap]) -> list[Statistic]:
    """A statistic of each image by itself, to be merged as the splits want them."""
    statistics = []
    for image in images:
        statistics.append(risk.statistic())
        statistics[-1].update(*image.pair)
    return statistics


def merged(empty: Merged, parts: Sequence[Statistic]) -> Merged:
    """All images of the parts in one statistic."""
    for part in parts:
        empty.merge(part)
    return empty


def mean_risk(risk: Risk, images: Sequence[LabelledMap], cutoff: Sequence[float]) -> Tensor:
    """Mean risk of images at a cutoff per class; those that do not count are left out."""
    cut = torch.tensor(cutoff)
    return torch.cat([risk.image_risk(*image.pair, cut) for image in images]).nanmean(0)
