# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One line per image: what a calibrated network's prediction set covers, and what it costs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.calibration import gather_objects
from monai_coat.handlers._pairs import batches
from monai_coat.metrics import ImageRecord, image_records
from monai_coat.networks import unwrap_adaptive_segmenter

__all__ = ["ImageRecords", "KeptMasks"]


@dataclass(frozen=True)
class KeptMasks:
    """Prediction set and label of one image, one bit a pixel.

    Attributes:
        packed: both masks, packed end to end.
        shape: shape ``(C, *spatial)`` of each.
    """

    packed: NDArray[np.uint8]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, mask: Tensor, label: Tensor) -> KeptMasks:
        """Pack two masks of one shape."""
        return cls(np.packbits(np.stack([mask.bool().numpy(), label.bool().numpy()])), tuple(mask.shape))

    def unpack(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Prediction set and label, bool ``(C, *spatial)``."""
        count = 2 * math.prod(self.shape)
        masks = np.unpackbits(self.packed, count=count).astype(bool).reshape(2, *self.shape)
        return masks[0], masks[1]


class ImageRecords:
    """Collect an :class:`~monai_coat.metrics.ImageRecord` of every image that a calibrated network's evaluator sees.

    The engine must have its network as ``engine.network``, as MONAI's evaluators do, and it must be calibrated.
    The records of all workers are in ``engine.state.records`` when the epoch is over, sorted by name. An image has the
    name of its label's file without endings, or its position if there is none; if two have one name, the second has
    "#2" after it.

    Args:
        output_transform: takes ``(scores, labels)`` out of the engine's output.
        keep_masks: whether to leave all masks, one bit a pixel, in ``engine.state.masks`` by name, for pictures.
    """

    def __init__(
        self, output_transform: Callable[[Any], Any] = lambda output: output, keep_masks: bool = False
    ) -> None:
        self.output_transform, self.keep_masks = output_transform, keep_masks
        self._images: list[tuple[str, list[ImageRecord], KeptMasks | None]] = []

    def attach(self, engine: Engine) -> None:
        """Listen to an evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._completed)

    def _started(self, engine: Engine) -> None:
        self._images = []

    def _collect(self, engine: Engine) -> None:
        network = unwrap_adaptive_segmenter(engine.network)  # type: ignore[attr-defined]
        for scores, labels in batches(self.output_transform(engine.state.output)):
            masks = network.cut(scores.to(network.calibrated_cutoff.device)).cpu()
            for score, mask, label in zip(scores, masks, labels.cpu(), strict=True):
                name = _name(label, len(self._images))
                kept = KeptMasks.of(mask, label) if self.keep_masks else None
                self._images.append((name, image_records(name, score, mask, label), kept))

    def _completed(self, engine: Engine) -> None:
        records: list[ImageRecord] = []
        masks: dict[str, KeptMasks] = {}
        seen: Counter[str] = Counter()
        for name, found, kept in (image for part in gather_objects(self._images) for image in part):
            seen[name] += 1
            unique = name if seen[name] == 1 else f"{name}#{seen[name]}"
            records += [replace(record, name=unique + record.name[len(name) :]) for record in found]
            if kept is not None:
                masks[unique] = kept
        engine.state.masks = masks  # type: ignore[attr-defined]
        engine.state.records = sorted(records, key=lambda record: record.name)  # type: ignore[attr-defined]


def _name(label: Tensor, position: int) -> str:
    """The stem of the file that a label came from, or the image's position in the data set."""
    source = getattr(label, "meta", {}).get("filename_or_obj")
    if isinstance(source, list | tuple):
        source = source[0]
    if source:
        return Path(str(source)).name.partition(".")[0]
    # MONAI's samplers deal images out to workers in turn.
    workers, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
    return f"{position * workers + rank:06d}"
