# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The writer of DICOM segmentations (SEG), through highdicom."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import optional_import
from numpy.typing import NDArray

from monai_coat._version import __version__
from monai_coat.data.dicom_series import DicomSeries
from monai_coat.data.grids import to_grid
from monai_coat.files import replacing

_NEEDED = "highdicom must be installed to write DICOM segmentations; run pip install 'monai_coat[dicom]' ({})."
highdicom: Any = optional_import("highdicom", descriptor=_NEEDED)[0]
seg: Any = optional_import("highdicom.seg", descriptor=_NEEDED)[0]
coding: Any = optional_import("pydicom.sr.coding", descriptor=_NEEDED)[0]
coded: Any = optional_import("pydicom.sr.codedict", descriptor=_NEEDED)[0]

__all__ = ["TISSUE", "Code", "Segment", "write_dicom_seg"]

Code = tuple[str, str, str]
"""Value, coding scheme and meaning, such as ``("10200004", "SCT", "Liver")``."""

TISSUE: Code = ("85756007", "SCT", "Tissue")
"""What a segment is if nothing better is said: no name of a class says what a code means."""

LONGEST_LABEL, LONGEST_TEXT = 64, 1024
"""Characters of a segment's label (value representation LO) and description (ST)."""

MAY_BE_EMPTY: tuple[str, ...] = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
)
MAY_BE_EMPTY += ("StudyDate", "StudyTime", "ReferringPhysicianName")
"""Elements that a file must have but may leave empty; files that were made anonymous often lack them."""

MUST_BE_SAID = {
    "StudyInstanceUID": "a study, of which a segmentation is",
    "FrameOfReferenceUID": "a frame of reference, in which a segmentation lies",
    "SOPClassUID": "a class, by which a segmentation names its slices",
    "SliceThickness": "a thickness, without which readers take no segmentation",
}

LARGEST_SERIES_NUMBER = 2**31 - 1


@dataclass(frozen=True)
class Segment:
    """One segment of a DICOM segmentation.

    Attributes:
        number: from 1 on.
        label: what viewers call it, at most 64 characters.
        description: what it is and what is promised of it, at most 1024 characters.
        category: what sort of thing it is, as a code; :data:`TISSUE` if nothing is said.
        kind: what it is, as a code.

    Raises:
        ValueError: if a text is empty, too long, or has characters that its element cannot hold. None is cut: half a
            promise is another promise.
    """

    number: int
    label: str
    description: str
    category: Code = TISSUE
    kind: Code = TISSUE

    def __post_init__(self) -> None:
        remedy = "name classes shorter, or write fewer of them to one file"
        for name, text, longest in (
            ("label", self.label, LONGEST_LABEL),
            ("description", self.description, LONGEST_TEXT),
        ):
            if not 0 < len(text) <= longest or text != text.strip():
                raise ValueError(
                    f"{name} of a segment must have 1 to {longest} characters, none of them blank at an end, got "
                    f"{len(text)}: {text!r}; {remedy}."
                )
            if not text.isprintable() or "\\" in text:
                raise ValueError(f"{name} of a segment must be one line without backslashes, got {text!r}; {remedy}.")


def write_dicom_seg(
    path: str | os.PathLike[str],
    series: DicomSeries,
    segments: Sequence[Segment],
    values: MetaTensor,
    segmentation_type: str,
) -> None:
    """Write segments of a series to a DICOM file, whole or not at all.

    Frames lie exactly where the slices lie, and name the slice that each is of. Patient and study are those of the
    series; texts are in UTF-8.

    Args:
        path: file to write.
        series: what was segmented.
        segments: what is written.
        values: on the voxels of the series, in any order of axes that the affine says. For ``BINARY`` masks
            ``(S, *spatial)``, one per segment, which may overlap; for ``FRACTIONAL`` numbers in [0, 1], which are
            rounded to 255ths; for ``LABELMAP`` numbers of segments ``(1, *spatial)``.
        segmentation_type: BINARY, FRACTIONAL or LABELMAP.

    Raises:
        OptionalImportError: if highdicom is not installed.
        ValueError: naming what does not fit: the grid, a value, a type that DICOM does not have, or a series without a
            frame of reference.

    Source:
        DICOM PS3.3 A.51 (segmentation) and A.90 (label map segmentation).
    """
    _check_values(values, segments, segmentation_type)
    _check_referred(series)
    placed = to_grid(values, series.grid, ("the segmentation", series.folder))
    arranged: NDArray[Any] = placed.as_tensor().permute(3, 2, 1, 0).cpu().numpy()
    frames = _frames(arranged, segmentation_type)
    with _quiet():
        file = _segmentation(series, segments, frames, segmentation_type)
    with replacing(path) as temporary:
        file.save_as(temporary)


def _segmentation(series: DicomSeries, segments: Sequence[Segment], frames: NDArray[Any], kind: str) -> Any:
    return seg.Segmentation(
        source_images=_with_empty_elements(series.slices),
        pixel_array=frames,
        segmentation_type=kind,
        segment_descriptions=[_description(segment) for segment in segments],
        series_instance_uid=highdicom.UID(),
        series_number=min(100 + int(series.slices[0].get("SeriesNumber") or 0), LARGEST_SERIES_NUMBER),
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="monai_coat",
        manufacturer_model_name="monai_coat",
        software_versions=__version__,
        device_serial_number="none",
        content_label="SEGMENTATION",
        series_description="segmentation with a conformal guarantee",
        specific_character_set="ISO_IR 192",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without highdicom's lines about each element that it copies, unless somebody asked for them."""
    highdicoms = logging.getLogger("highdicom")
    level = highdicoms.level
    highdicoms.setLevel(level or logging.WARNING)
    try:
        yield
    finally:
        highdicoms.setLevel(level)


def _check_referred(series: DicomSeries) -> None:
    """Refuse slices without what a segmentation must repeat of them, and may not leave empty."""
    for header, file in zip(series.slices, series.files, strict=True):
        for keyword, what in MUST_BE_SAID.items():
            if header.get(keyword) in (None, ""):
                raise ValueError(f"slice must have {what}, got none in {file}; add {keyword} to the slices.")


def _check_values(values: MetaTensor, segments: Sequence[Segment], kind: str) -> None:
    if kind not in ("BINARY", "LABELMAP", "FRACTIONAL"):
        raise ValueError(f"segmentation_type must be BINARY, LABELMAP or FRACTIONAL, got {kind!r}; choose one.")
    if not isinstance(values, MetaTensor) or values.dim() != 4:
        raise ValueError(
            f"values must be a MetaTensor of three axes and channels, whose affine says where voxels lie, got "
            f"{type(values).__name__} of shape {tuple(values.shape)}; keep the metadata of the image."
        )
    channels = 1 if kind == "LABELMAP" else len(segments)
    if values.shape[0] != channels or not segments:
        raise ValueError(f"values must have {channels} channels for {len(segments)} segments, got {values.shape[0]}.")
    plain = values.as_tensor()
    if kind == "FRACTIONAL":
        fits, wanted = bool(((plain >= 0) & (plain <= 1)).all()), "in [0, 1]"
    elif kind == "BINARY":
        fits, wanted = bool(((plain == 0) | (plain == 1)).all()), "0 or 1"
    else:
        numbers = torch.tensor([0, *(segment.number for segment in segments)], device=plain.device)
        fits, wanted = bool(torch.isin(plain, numbers).all()), "0 or the number of a segment"
    if not fits:
        raise ValueError(
            f"values of a {kind} segmentation must be {wanted}, got {float(plain.min()):g} to {float(plain.max()):g}; "
            "cut scores at their cutoff first."
        )


def _frames(arranged: NDArray[Any], kind: str) -> NDArray[Any]:
    """Slices, rows, columns and segments, in a type that highdicom takes, and frame after frame, as it reads them."""
    if kind == "LABELMAP":
        return arranged[..., 0].astype(np.uint16, order="C")
    return arranged.astype(np.float32 if kind == "FRACTIONAL" else bool, order="C")


def _with_empty_elements(slices: Sequence[Any]) -> list[Any]:
    """The headers; the first, of which patient and study are taken, with all elements that a file must have."""
    first = copy.copy(slices[0])
    for keyword in MAY_BE_EMPTY:
        if keyword not in first:
            setattr(first, keyword, None)
    return [first, *slices[1:]]


def _description(segment: Segment) -> Any:
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="monai_coat", family=coded.codes.DCM.ArtificialIntelligence, version=__version__
    )
    description = seg.SegmentDescription(
        segment_number=segment.number,
        segment_label=segment.label,
        segmented_property_category=coding.Code(*segment.category),
        segmented_property_type=coding.Code(*segment.kind),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
    )
    description.SegmentDescription = segment.description
    return description
