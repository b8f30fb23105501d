# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Records of images: what a calibrated network's prediction sets cover, and what they cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.calibration import CalibrationResult, gather_objects
from monai_coat.files import stem_of
from monai_coat.functional import false_positive_ratio
from monai_coat.handlers._attachment import check_engine
from monai_coat.handlers.pairs import batches, transformed
from monai_coat.metrics import ImageRecord, image_records
from monai_coat.networks import unwrap_adaptive_segmenter

__all__ = ["ImageRecords", "PackedMasks"]


@dataclass(frozen=True)
class PackedMasks:
    """Prediction set and label of one image, one bit a pixel.

    Attributes:
        packed: both masks, packed end to end.
        shape: shape ``(C, *spatial)`` of each.
    """

    packed: NDArray[np.uint8]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, mask: Tensor, label: Tensor) -> PackedMasks:
        """Pack two masks of one shape."""
        return cls(np.packbits(np.stack([mask.bool().numpy(), label.bool().numpy()])), tuple(mask.shape))

    def unpack(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Prediction set and label, bool ``(C, *spatial)``."""
        count = 2 * math.prod(self.shape)
        masks = np.unpackbits(self.packed, count=count).astype(bool).reshape(2, *self.shape)
        return masks[0], masks[1]


@dataclass(frozen=True)
class _Image:
    """What is kept of one image."""

    name: str
    records: list[ImageRecord]
    masks: PackedMasks | None
    ratios: tuple[float, ...]


class ImageRecords:
    """Collect an :class:`~monai_coat.metrics.ImageRecord` of every image that a calibrated network's evaluator sees.

    The engine must have its network as ``engine.network``, as MONAI's evaluators do, and it must be calibrated.
    The records of all workers are in ``engine.state.records`` when the epoch is over, sorted by name. An image has the
    name of its label's file without endings, or its position if there is none; if two have one name, the second has
    "#2" after it.

    Args:
        output_transform: takes ``(scores, labels)`` out of the engine's output.
        keep_masks: whether to leave all masks, one bit a pixel, in ``engine.state.masks`` by name, for pictures.
        certain: calibrations of false positives by method, see :func:`~monai_coat.report.load_certain`. If that of
            ``engine.method`` is among them, the false positives of what is certain, in sizes of the foreground and
            without a cap, are left in ``engine.state.false_positive_ratios``: by name, one number per class, see
            :func:`~monai_coat.functional.false_positive_ratio`; the calibration itself is in ``engine.state.certain``.
            Certain is what is in the prediction set too.
    """

    def __init__(
        self,
        output_transform: Callable[[Any], Any] = lambda output: output,
        keep_masks: bool = False,
        certain: Mapping[str, CalibrationResult] | None = None,
    ) -> None:
        self.output_transform, self.keep_masks, self.certain = output_transform, keep_masks, dict(certain or {})
        self._images: list[_Image] = []

    def attach(self, engine: Engine) -> None:
        """Listen to an evaluator.

        Raises:
            TypeError: if ``engine`` is none.
            ValueError: if it has this handler already.
        """
        check_engine(engine, self._started)
        engine.add_event_handler(Events.EPOCH_STARTED, self._started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._completed)

    def _started(self, engine: Engine) -> None:
        self._images = []

    def _collect(self, engine: Engine) -> None:
        network = unwrap_adaptive_segmenter(engine.network)  # type: ignore[attr-defined]
        certain = self._certain_of(engine)
        for scores, labels in batches(transformed(self.output_transform, engine.state.output)):
            masks = network.cut(scores.to(network.calibrated_cutoff.device)).cpu()
            ratios = self._ratios(scores, labels, network.calibrated_cutoff, certain)
            for score, mask, label, of_image in zip(scores, masks, labels.cpu(), ratios, strict=True):
                name = _name(label, len(self._images))
                kept = PackedMasks.of(mask, label) if self.keep_masks else None
                self._images.append(_Image(name, image_records(name, score, mask, label), kept, tuple(of_image)))

    def _certain_of(self, engine: Engine) -> CalibrationResult | None:
        return self.certain.get(getattr(engine, "method", ""))

    def _ratios(
        self, scores: Tensor, labels: Tensor, possible: Tensor, certain: CalibrationResult | None
    ) -> list[list[float]]:
        """Of each image and class the false positive ratio of what is certain; of nothing without a calibration."""
        if certain is None:
            return [[]] * len(scores)
        cutoff = torch.maximum(possible.cpu(), torch.tensor(certain.cutoff)).to(scores.device)
        ratios: list[list[float]] = false_positive_ratio(scores, labels.to(scores.device), cutoff).tolist()
        return ratios

    def _completed(self, engine: Engine) -> None:
        records: list[ImageRecord] = []
        masks: dict[str, PackedMasks] = {}
        ratios: dict[str, tuple[float, ...]] = {}
        seen: Counter[str] = Counter()
        for image in (image for part in gather_objects(self._images) for image in part):
            seen[image.name] += 1
            unique = image.name if seen[image.name] == 1 else f"{image.name}#{seen[image.name]}"
            records += [replace(record, name=unique + record.name[len(image.name) :]) for record in image.records]
            if image.masks is not None:
                masks[unique] = image.masks
            if image.ratios:
                ratios[unique] = image.ratios
        engine.state.masks = masks  # type: ignore[attr-defined]
        engine.state.certain = self._certain_of(engine)  # type: ignore[attr-defined]
        engine.state.false_positive_ratios = ratios  # type: ignore[attr-defined]
        engine.state.records = sorted(records, key=lambda record: record.name)  # type: ignore[attr-defined]


def _name(label: Tensor, position: int) -> str:
    """The stem of the file that a label came from, or the image's position in the data set."""
    source = getattr(label, "meta", {}).get("filename_or_obj")
    if isinstance(source, list | tuple):
        source = source[0]
    if source:
        return stem_of(str(source))
    # MONAI's samplers deal images out to workers in turn.
    workers, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
    return f"{position * workers + rank:06d}"
