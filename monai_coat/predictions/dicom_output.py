# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""DICOM segmentations of predictions, beside their masks."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.data import MetaTensor
from torch import Tensor

from monai_coat.data import DicomSeries, PredictionFolder
from monai_coat.files.names import is_volume
from monai_coat.predictions.calibrate import CalibratedMaps
from monai_coat.predictions.masks import space_of
from monai_coat.transforms import CertaintySegments, ConformalMask

__all__ = ["DicomOutput"]

FRACTIONAL = "FRACTIONAL"


def _check_installed() -> None:
    for package in ("pydicom", "highdicom"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                f"{package} must be installed to write DICOM segmentations, but is not; run pip install "
                "'monai_coat[dicom]', or leave series out."
            )


@dataclass(frozen=True)
class DicomOutput:
    """Where the DICOM series of images are, and how sets are written into segmentations of them.

    Attributes:
        series: folder that holds the folder of a series for each image, by its name.
        segmentation_type: "BINARY", "LABELMAP" or "FRACTIONAL", see :class:`~monai_coat.transforms.CertaintySegments`.
    """

    series: str | os.PathLike[str]
    segmentation_type: str = "BINARY"

    def begin(
        self,
        folder: PredictionFolder,
        output: str | os.PathLike[str],
        calibrated: CalibratedMaps,
        certain: CalibratedMaps | None,
    ) -> Segmentations:
        """A writer for the images of a folder.

        Raises:
            FileNotFoundError: if an image has no series; before anything is written.
            ImportError: without highdicom or pydicom.
            ValueError: if maps are flat, or fractions are asked of masks, which have no probabilities; if the promise
                or the names of the classes do not fit into a segmentation.
        """
        _check_installed()
        self._check_maps(folder)
        for sample in folder.samples:
            if not (Path(self.series) / str(sample["id"])).is_dir():
                raise FileNotFoundError(
                    f"series must hold the folder of a series for every image, got none for {sample['id']!r} in "
                    f"{self.series}; name folders as the maps."
                )
        second = None if certain is None else certain.result
        names = folder.format.names or ("foreground",)
        segments = CertaintySegments(names, calibrated.result, second, self.segmentation_type)
        return Segmentations(self, Path(output), segments)

    def _check_maps(self, folder: PredictionFolder) -> None:
        flat = [space_of(sample) for sample in folder.samples if not is_volume(space_of(sample))]
        if flat:
            raise ValueError(
                f"maps must be volumes in NIfTI or NRRD, which say where they lie on a series, got {flat[0]}; save "
                "them so, or leave series out."
            )
        if folder.options.are_masks and self.segmentation_type == FRACTIONAL:
            raise ValueError(
                "segmentation_type must be BINARY or LABELMAP for masks, which have no probabilities, got "
                f"{FRACTIONAL!r}; take one of these."
            )


@dataclass(frozen=True)
class Segmentations:
    """Writes the segmentation of one image after the other.

    Attributes:
        of: what was asked for.
        output: folder to write to.
        segments: what the sets are called and what is promised about them.
    """

    of: DicomOutput
    output: Path
    segments: CertaintySegments

    def write(self, sample: Mapping[str, Any], sets: Tensor, scores: MetaTensor, maps: MetaTensor) -> None:
        """Write the possible sets, bool ``(C, *spatial)``, and what is certain by the scores, as ``<id>_seg.dcm``.

        Raises:
            ValueError: naming the series, if it is no volume, or the map does not lie on it.
        """
        certain = None
        if self.segments.certain is not None:
            sure = ConformalMask(self.segments.certain)(scores).as_subclass(Tensor).bool()
            certain = MetaTensor(sure, affine=maps.affine)
        series = DicomSeries.of(Path(self.of.series) / str(sample["id"]))
        probs = maps if self.segments.segmentation_type == FRACTIONAL else None
        path = self.output / f"{sample['id']}_seg.dcm"
        self.segments.write(path, series, MetaTensor(sets, affine=maps.affine), certain, probs)
