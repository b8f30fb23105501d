# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""DICOM segmentations out of a pipeline, for images that are DICOM series."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from monai_coat.calibration import check_calibration_fits
from monai_coat.data.dicom_seg import Code
from monai_coat.data.dicom_series import DicomSeries
from monai_coat.functional import float32_below
from monai_coat.functional.checks import check_finite
from monai_coat.transforms.certainty_map import Calibration, loaded_calibration, set_of_scores
from monai_coat.transforms.certainty_segments import CertaintySegments

__all__ = ["SaveSegmentation", "SaveSegmentationD", "SaveSegmentationDict", "SaveSegmentationd"]


class SaveSegmentation(Transform):
    """Write what is possible and what is certain by a score map as a DICOM segmentation of the series it is of.

    The file is ``<output_dir>/<name of the series' folder>_seg.dcm``; :class:`CertaintySegments` says what is in it.
    The scores must be on the voxels of the series, as they are after :class:`~monai_coat.transforms.RestoreGridd`.

    Args:
        output_dir: folder to write to.
        classes: names of the classes, in the order of the channels.
        possible: calibration of what is missed, or the path of its JSON artifact.
        certain: calibration of false positives, or the path of its JSON artifact; None: there is no certain set.
        segmentation_type: "BINARY", "LABELMAP" or "FRACTIONAL".
        codes: category and type of classes by name, as DICOM codes.

    Raises:
        FileNotFoundError: if there is no artifact at a path; when called, if the image is no DICOM series.
        ValueError: as :class:`CertaintySegments`; when called, if scores are not finite, or do not lie on the series.

    Example:
        >>> import torch
        >>> from monai_coat.calibration import CalibrationResult
        >>> from pydicom.data import get_testdata_file
        >>> image = DicomSeries.of(Path(get_testdata_file("2062", download=False)).parent).volume()
        >>> possible = CalibrationResult((0.25,), 0.1, (99,), (0,), (0.09,), "E[FNR] <= 0.1")
        >>> scores = MetaTensor(torch.rand(image.shape), meta=image.meta)
        >>> folder = getfixture("tmp_path")
        >>> _ = SaveSegmentation(folder, ["liver"], possible)(scores)
        >>> [file.name for file in folder.iterdir()]
        ['CT5N_seg.dcm']
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        classes: Sequence[str],
        possible: Calibration,
        certain: Calibration | None = None,
        segmentation_type: str = "BINARY",
        codes: Mapping[str, tuple[Code, Code]] | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.form = CertaintySegments(
            classes,
            loaded_calibration(possible),
            None if certain is None else loaded_calibration(certain),
            segmentation_type,
            codes or {},
        )

    def __call__(self, scores: MetaTensor, probs: MetaTensor | None = None) -> MetaTensor:
        """Write the file, and give the scores ``(C, *spatial)`` back as they are.

        Args:
            scores: with the metadata of their image.
            probs: probabilities alike, for "FRACTIONAL".
        """
        source = series_of(scores)
        check_calibration_fits(self.form.possible, classes=scores.shape[0])
        check_finite(scores)
        maps = float32_below(scores)
        calibrations = filter(None, (self.form.possible, self.form.certain))
        possible, *certain = (MetaTensor(set_of_scores(maps, each), affine=scores.affine) for each in calibrations)
        path = self.output_dir / f"{Path(source).absolute().name}_seg.dcm"
        self.form.write(path, DicomSeries.of(source), possible, certain[0] if certain else None, probs)
        return scores


def series_of(scores: Any) -> str:
    """The folder of the series that scores are of, by their metadata.

    Raises:
        FileNotFoundError: if they are of no folder.
    """
    source = getattr(scores, "meta", {}).get("filename_or_obj", "")
    if not (isinstance(source, str) and os.path.isdir(source)):
        raise FileNotFoundError(
            f"scores must be of a DICOM series, by filename_or_obj in their metadata, got {source or 'none'!r}, which "
            "is no folder; write other images by SaveImaged."
        )
    return source


class SaveSegmentationd(MapTransform):
    """Dictionary form of :class:`SaveSegmentation`; the data stay as they are.

    Args:
        keys: score maps.
        probs_key: probabilities, for "FRACTIONAL"; None: there are none.
        allow_other_images: whether scores of images that are no DICOM series are passed over, and not refused.
        allow_missing_keys: whether keys may be missing.
        segmentation: the arguments of :class:`SaveSegmentation`, by name.
    """

    def __init__(
        self,
        keys: KeysCollection,
        probs_key: str | None = None,
        allow_other_images: bool = False,
        allow_missing_keys: bool = False,
        **segmentation: Any,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = SaveSegmentation(**segmentation)
        self.probs_key, self.allow_other_images = probs_key, allow_other_images

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write a file for each score map.

        Raises:
            FileNotFoundError: if the image is no DICOM series, unless that is allowed.
        """
        probs = None if self.probs_key is None else data[self.probs_key]
        for key in self.key_iterator(data):
            try:
                series_of(data[key])
            except FileNotFoundError:
                if not self.allow_other_images:
                    raise
            else:
                self.transform(data[key], probs)
        return dict(data)


SaveSegmentationD = SaveSegmentationDict = SaveSegmentationd
