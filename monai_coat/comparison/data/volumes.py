# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Volumes of a folder of predictions: sketches of all, kept in a file, and one volume at a time in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from monai_coat.comparison.data.own_maps import checked_pairs
from monai_coat.data import PredictionFolder
from monai_coat.data.groups import group_of
from monai_coat.files import replacing
from monai_coat.files.progress import followed
from monai_coat.scorers import SketchedMaps

__all__ = ["ClassVolumes", "VolumePool", "Volumes"]

logger = logging.getLogger(__name__)

KEPT = 2**30
"""Bytes of maps and masks that stay in memory, so that small volumes are read once."""

COLUMNS = ("summaries", "sketches", "precision", "observed")


class Volumes:
    """The volumes of a folder, whatever their number and size.

    Args:
        folder: predictions with masks.
        path: NumPy file to keep the sketches in; its name must change with the contents of the files.

    Raises:
        ValueError: naming the file, if it cannot be read; or if all maps are segmentations.
    """

    def __init__(self, folder: PredictionFolder, path: Path) -> None:
        self.folder = folder
        self.samples = {str(sample["id"]): sample for sample in folder.samples}
        self._kept: dict[str, tuple[Tensor, Tensor]] = {}
        self._room = KEPT
        if not path.is_file():
            self._collect(path)
        with np.load(path) as saved:
            self.ids = tuple(saved["ids"].tolist())
            self.sketches = SketchedMaps(*(torch.from_numpy(saved[name]) for name in COLUMNS))

    def of_class(self, index: int) -> ClassVolumes:
        """The volumes in which one of the classes is."""
        sketches = self.sketches.of_class(index)
        present = torch.nonzero(~torch.isnan(sketches.sketches[:, 0, 0])).flatten().tolist()
        return ClassVolumes(self, index, tuple(self.ids[place] for place in present), sketches.rows(present))

    def read(self, name: str) -> tuple[Tensor, Tensor]:
        """Maps and masks ``(C, *spatial)`` of a volume.

        Raises:
            ValueError: naming the file, if it cannot be read any more.
        """
        if name in self._kept:
            return self._kept[name]
        alone = replace(self.folder, samples=(self.samples[name],), is_numbered=False)
        ((_, maps, masks),) = alone.pairs()
        return self._keep(name, maps.as_tensor(), masks)

    def _keep(self, name: str, maps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        # Maps may be a view of all channels of a softmax, which then stay in memory as a whole.
        size = maps.untyped_storage().nbytes() + masks.nbytes
        if size <= self._room:
            self._room -= size
            self._kept[name] = maps, masks
        return maps, masks

    def _collect(self, path: Path) -> None:
        logger.info("collecting sketches of %d volumes", len(self.folder))
        ids: list[str] = []

        def pairs() -> Iterator[tuple[Tensor, Tensor]]:
            for sample, maps, masks in followed(checked_pairs(self.folder), len(self.folder), logger, "sketches"):
                ids.append(str(sample["id"]))
                yield self._keep(ids[-1], maps.as_tensor(), masks)

        sketches = SketchedMaps.collect(pairs())
        columns: dict[str, Any] = {name: getattr(sketches, name).numpy() for name in COLUMNS}
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, ids=np.array(ids), **columns)


@dataclass(frozen=True)
class ClassVolumes:
    """Volumes with foreground of one class.

    Attributes:
        volumes: all volumes of the folder.
        index: channel of the class.
        ids: names of those with foreground.
        sketches: of these, in this order.
    """

    volumes: Volumes
    index: int
    ids: tuple[str, ...]
    sketches: SketchedMaps

    def sketches_of(self, samples: Sequence[Mapping[str, Any]]) -> SketchedMaps:
        """What methods learn from: sketches of those of the samples that have foreground."""
        group = {str(sample["id"]): group_of(dict(sample)) for sample in samples}
        places = self._places(samples)
        return replace(self.sketches.rows(places), groups=tuple(group[self.ids[place]] for place in places))

    def pool_of(self, samples: Sequence[Mapping[str, Any]]) -> VolumePool:
        """Those of the samples that have foreground."""
        places = self._places(samples)
        ids = tuple(self.ids[place] for place in places)
        return VolumePool(ids, self.volumes, self.index, self.sketches.sketches[places, 0])

    def _places(self, samples: Sequence[Mapping[str, Any]]) -> list[int]:
        place = {name: index for index, name in enumerate(self.ids)}
        return [place[sample["id"]] for sample in samples if sample["id"] in place]


@dataclass(frozen=True)
class VolumePool:
    """Volumes that calibration and test images are drawn from, in place of maps in memory.

    Attributes:
        ids: names.
        volumes: where they are read from.
        index: channel of the class.
        foreground: sketches of their foreground ``(N, 512)``.
    """

    ids: tuple[str, ...]
    volumes: Volumes
    index: int
    foreground: Tensor
    groups: ClassVar[tuple[str, ...] | None] = None

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, place: int) -> tuple[Tensor, Tensor]:
        """Map and mask ``(1, *spatial)`` of the class."""
        maps, masks = self.volumes.read(self.ids[place])
        return maps[self.index : self.index + 1], masks[self.index : self.index + 1]
