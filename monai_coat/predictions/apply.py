# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The masks of new predictions by a calibration.

Tested by tests/predictions/test_folders.py.
"""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor
from torch import Tensor

from monai_coat.calibration import CalibrationResult, printed_number
from monai_coat.data import PredictionFolder
from monai_coat.files import replacing, write_json
from monai_coat.files.names import is_volume
from monai_coat.files.progress import followed
from monai_coat.predictions.calibrate import CalibratedMaps
from monai_coat.predictions.dicom_output import DicomOutput
from monai_coat.predictions.masks import check_labels_fit, mask_path, space_of, write_mask
from monai_coat.transforms import CertaintyLabels, CertaintyMap, ConformalMask

__all__ = ["apply_calibration"]

logger = logging.getLogger(__name__)

COLUMNS = ("id", "class", "threshold", "size", "millilitres", "share")
DECISION = ("decision", "why")


def apply_calibration(
    calibrated: CalibratedMaps,
    folder: PredictionFolder,
    output: str | os.PathLike[str],
    certain: CalibratedMaps | None = None,
    dicom: DicomOutput | None = None,
) -> list[dict[str, Any]]:
    """Write the prediction set of every image of a folder, each in its map's own space and format.

    ``sets.csv`` and ``labels.json`` are removed first and written last: where they are, the masks are of one run.

    A mask has the name of its map. Those of several classes, which may overlap, are in a folder for each class. With a
    calibration of false positives there is one label map instead, of what is certain and what is possible of each
    class, and ``labels.json`` says what its labels mean, see :class:`~monai_coat.transforms.CertaintyLabels`.
    ``sets.csv`` has the threshold and the size of each set. Files are written whole, one after the other.

    Args:
        calibrated: the calibration of what is missed.
        folder: new predictions, opened with the format of the calibration.
        output: folder to write to.
        certain: calibration of false positives of the same scorer.
        dicom: the images' DICOM series, to write a segmentation of each beside, with the promise in it.

    Returns:
        The rows of ``sets.csv``: of each image and class ``id``, ``class``, ``threshold`` in the map, rounded to the
        safe side (empty if sets are no cuts of it), ``size`` in voxels, ``millilitres`` of volumes, and ``share`` of
        the image.

    Raises:
        ValueError: naming the file, if a map cannot be read or is of another format; or if the calibrations do not
            belong together.
    """
    names = folder.format.names or ("foreground",)
    segmentations = None if dicom is None else dicom.begin(folder, output, calibrated, certain)
    graded = None if certain is None else _graded(calibrated, certain)
    output, rows = Path(output), []
    _check_places(folder, [output, *(output / name for name in names)])
    if graded is not None:
        check_labels_fit(
            max(CertaintyLabels(names).values.values()), [mask_path(output, each) for each in folder.samples]
        )
    calibrated.check_samples(folder.samples)
    folder.refuse_segmentations()
    for name in ("sets.csv", "labels.json"):
        (output / name).unlink(missing_ok=True)
    for sample in followed(folder.samples, len(folder), logger, "apply"):
        maps = folder.read(sample)
        scores = MetaTensor(calibrated.fitted.score(maps), meta=maps.meta)
        result = calibrated.for_image(scores, sample)
        sets = ConformalMask(result)(scores).as_subclass(Tensor).bool()
        thresholds = calibrated.fitted.thresholds(maps, result.cutoff)
        rows += [
            {**row, **_decision(result, sets, scores)}
            for row in _rows(sample, sets, thresholds, names, maps, result.controls)
        ]
        if segmentations is not None:
            segmentations.write(sample, sets, scores, maps)
        if graded is not None:
            write_mask(graded(scores)[0].as_subclass(Tensor), maps, sample, mask_path(output, sample), folder.format)
            continue
        for name, mask in zip(names, sets, strict=True):
            path = mask_path(output / name if len(names) > 1 else output, sample)
            write_mask(mask, maps, sample, path, folder.format)
    if graded is not None:
        write_json(output / "labels.json", CertaintyLabels(names).values)
    with replacing(output / "sets.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS if calibrated.result.referral is None else (*COLUMNS, *DECISION))
        writer.writeheader()
        writer.writerows(rows)
    return rows


def _decision(result: CalibrationResult, sets: Tensor, scores: Tensor) -> dict[str, str]:
    """Whether an image is referred, if the calibration has a rule."""
    if result.referral is None:
        return {}
    found = result.referral.decide(sets, scores)
    return {"decision": found["decision"], "why": "; ".join(found["why"])}


def _graded(calibrated: CalibratedMaps, certain: CalibratedMaps) -> CertaintyMap:
    """What makes label maps, of cutoffs that are the same for all images."""
    if calibrated.result.groups or certain.result.groups:
        raise ValueError("certain must go with calibrations of all images, got one for each group; leave it out.")
    return CertaintyMap(calibrated.result, certain.result)


def _check_places(folder: PredictionFolder, places: Sequence[Path]) -> None:
    """Refuse to write a mask over one of the files that are read."""
    for sample in folder.samples:
        probs = [sample["probs"]] if isinstance(sample["probs"], str) else sample["probs"]
        inputs = {Path(path).resolve() for path in [*probs, space_of(sample), sample["image"]]}
        taken = inputs & {mask_path(place, sample).resolve() for place in places}
        if taken:
            raise ValueError(f"output must not hold the predictions, got {min(taken)}; name another folder.")


def _rows(
    sample: Mapping[str, Any],
    sets: Tensor,
    thresholds: Sequence[float | None] | None,
    names: tuple[str, ...],
    maps: MetaTensor,
    controls: str,
) -> list[dict[str, Any]]:
    voxel = abs(float(np.linalg.det(np.asarray(maps.affine)[:3, :3]))) / 1000 if is_volume(space_of(sample)) else None
    rows = []
    for index, name in enumerate(names):
        size = int(sets[index].sum())
        cut = None if thresholds is None else thresholds[index]
        threshold = "" if cut is None else float(printed_number(cut, controls))
        volume = "" if voxel is None else round(size * voxel, 4)
        share = round(size / sets[index].numel(), 6)
        rows.append(dict(zip(COLUMNS, (sample["id"], name, threshold, size, volume, share), strict=True)))
    return rows
