# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a calibration of saved maps covers on labelled images, and what it costs: table, records and pictures.

Tested by tests/predictions/test_folders.py.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monai.data import MetaTensor
from torch import Tensor

from monai_coat.calibration import FalseNegativeRate, WorstClassFalseNegativeRate
from monai_coat.data import PredictionFolder
from monai_coat.files.progress import followed
from monai_coat.metrics import ImageRecord, image_records
from monai_coat.predictions.calibrate import CalibratedMaps
from monai_coat.predictions.fitted_scorer import token_of
from monai_coat.report import MethodSummary, Panel, choose_panels, draw_page, orthogonal_panels, write_comparison
from monai_coat.report.pictures import picture_of
from monai_coat.transforms import ConformalMask

__all__ = ["evaluate_folder", "records_of_folder"]

logger = logging.getLogger(__name__)

HALF = "cut at 0.5"
MASK = "the mask itself"
OF_COVERAGE = (FalseNegativeRate.name, WorstClassFalseNegativeRate.name)
"""Risks whose level is a target of coverage."""

Rows = dict[str, list[ImageRecord]]


def records_of_folder(calibrated: CalibratedMaps, folder: PredictionFolder) -> dict[str, Rows]:
    """Records of every image by class and method: of a cut at 0.5, and of the calibrated sets.

    Args:
        calibrated: the calibration.
        folder: predictions with masks, opened with the format of the calibration.

    Returns:
        The records by class name and method.

    Raises:
        ValueError: naming the file, if a map or mask cannot be read, or the image is not a new one.
    """
    names, first = folder.format.names or ("foreground",), MASK if folder.options.are_masks else HALF
    records: dict[str, Rows] = {name: {first: [], calibrated.result.method or "calibrated": []} for name in names}
    for sample, maps, masks in followed(folder.pairs(), len(folder), logger, "evaluate"):
        calibrated.fitted.refuse_seen(token_of(maps.as_tensor(), masks), sample["probs"])
        half, sets = _sets(calibrated, maps, sample)
        for method, inside in zip(records[names[0]], (half, sets), strict=True):
            rows = image_records(str(sample["id"]), maps.as_tensor(), inside, masks)
            for name, row in zip(names, rows, strict=True):
                records[name][method].append(replace(row, name=str(sample["id"])))
    return records


def evaluate_folder(
    calibrated: CalibratedMaps, folder: PredictionFolder, output: str | os.PathLike[str]
) -> dict[str, list[MethodSummary]]:
    """Write a report about a folder of predictions with masks: of each class records, table and page of pictures.

    Several classes have a folder each. In every table the first row is what a cut at 0.5 gives, and the last one takes
    every pixel.

    Args:
        calibrated: the calibration.
        folder: predictions with masks of new images, opened with the format of the calibration.
        output: folder to write to.

    Returns:
        The rows of the table of each class.

    Raises:
        ValueError: as :func:`records_of_folder`; or if no image has foreground.
    """
    if calibrated.result.controls not in OF_COVERAGE:
        raise ValueError(
            f"calibration must be of what is missed, whose coverage is reported, got one of "
            f"{calibrated.result.controls!r}; say whether its promise holds by audit."
        )
    folder.refuse_segmentations()
    records = records_of_folder(calibrated, folder)
    output, alpha, tables = Path(output), calibrated.result.alpha, {}
    for index, (name, of_class) in enumerate(records.items()):
        place = output / name if len(records) > 1 else output
        logger.info("class %s", name)
        tables[name] = write_comparison(of_class, alpha, place, calibrated.result.guarantee)
        pictures = _Pictures(calibrated, folder, index)
        draw_page(of_class, alpha, place / "page.png", panels=pictures.panels(of_class))
    return tables


def _sets(calibrated: CalibratedMaps, maps: MetaTensor, sample: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """The set at 0.5 and the calibrated one, bool ``(C, *spatial)``."""
    scores = calibrated.fitted.score(maps)
    cut = ConformalMask(calibrated.for_image(scores, sample))(scores)
    return maps.as_tensor() >= 0.5, cut.as_subclass(Tensor).bool()


@dataclass(frozen=True)
class _Pictures:
    """Pictures of the images of one class that are worth a look."""

    calibrated: CalibratedMaps
    folder: PredictionFolder
    index: int

    def panels(self, records: Mapping[str, Sequence[ImageRecord]]) -> list[Panel]:
        """Of flat images one panel each; of volumes three slices of the first two."""
        chosen = choose_panels(records, *records)
        wanted = {name for _, name in chosen}
        kept = replace(self.folder, samples=tuple(s for s in self.folder.samples if s["id"] in wanted))
        shown = {str(sample["id"]): (sample, maps, masks) for sample, maps, masks in kept.pairs()}
        coverage = {method: {r.name: r.coverage for r in each} for method, each in records.items()}
        panels: list[Panel] = []
        for title, name in chosen:
            sample, maps, masks = shown[name]
            both = (each[self.index].numpy() for each in _sets(self.calibrated, maps, sample))
            sets = dict(zip(records, both, strict=True))
            covered = {method: coverage[method][name] for method in records}
            label, image = masks[self.index].numpy(), picture_of(sample, maps, self.index)
            if label.ndim == 2:
                flat = {method: mask.T for method, mask in sets.items()}
                panels.append(Panel(title, image.swapaxes(0, 1), label.T, flat, covered))
            elif len(panels) < 6:
                panels += orthogonal_panels(title, image, label, sets, covered)
        return panels
