# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""DICOM series made for tests, and where voxels lie by their tags, worked out by hand.

A voxel's value is its number in the series, from 1 on, so that it is known again wherever it goes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

ROWS, COLUMNS, SLICES = 4, 5, 6


def turned(angle: float, axis: int) -> np.ndarray:
    """A rotation about an axis of the patient."""
    first, second = (place for place in range(3) if place != axis)
    matrix = np.eye(3)
    matrix[[first, second], [first, second]] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


@dataclass
class Made:
    """How a series lies: direction of rows and columns towards left, posterior, superior; distances; first position."""

    along_row: Any = (1, 0, 0)
    along_column: Any = (0, 1, 0)
    row_distance: float = 0.7
    column_distance: float = 0.4
    slice_distance: float = 2.5
    origin: Any = (-31.5, 12.25, 100.0)
    reversed_names: bool = False
    changes: dict[int, dict[str, Any]] = field(default_factory=dict)
    common: dict[str, Any] = field(default_factory=dict)
    left_out: tuple[int, ...] = ()

    def position(self, place: int) -> np.ndarray:
        normal = np.cross(self.along_row, self.along_column)
        return np.asarray(self.origin) + place * self.slice_distance * normal

    def write(self, folder: Path, values: np.ndarray | None = None) -> Path:
        """Write the slices; of a series with reversed names the first file is the last slice.

        Values ``(columns, rows, slices)`` take the place of the voxels' numbers.
        """
        numbers = 1 + np.arange(ROWS * COLUMNS * SLICES).reshape(SLICES, ROWS, COLUMNS)
        volume = numbers if values is None else values.T
        folder.mkdir(parents=True)
        common = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
        common["FrameOfReferenceUID"] = generate_uid()
        for place in set(range(len(volume))) - set(self.left_out):
            number = len(volume) - place if self.reversed_names else place + 1
            elements = {**common, "InstanceNumber": number, **self.common, **self.changes.get(place, {})}
            self._slice(place, volume[place], elements).save_as(folder / f"image{number:03d}", enforce_file_format=True)
        return folder

    def _slice(self, place: int, values: np.ndarray, elements: dict[str, Any]) -> FileDataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = generate_uid()
        slice_ = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        slice_.PatientName, slice_.PatientID, slice_.Modality = "Test^Case", "42", "CT"
        slice_.ImageOrientationPatient = [float(f"{v:.8f}") for v in (*self.along_row, *self.along_column)]
        slice_.ImagePositionPatient = [float(f"{v:.6f}") for v in self.position(place)]
        slice_.PixelSpacing, slice_.SliceThickness = [self.row_distance, self.column_distance], self.slice_distance
        (slice_.Rows, slice_.Columns), slice_.SamplesPerPixel, slice_.PixelRepresentation = values.shape, 1, 0
        slice_.PhotometricInterpretation, slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = (
            "MONOCHROME2",
            16,
            16,
            15,
        )
        slice_.RescaleSlope, slice_.RescaleIntercept = 1, 0
        slice_.PixelData = values.astype(np.uint16).tobytes()
        for keyword, value in elements.items():
            if value is not None:
                setattr(slice_, keyword, value)
            elif keyword in slice_:
                delattr(slice_, keyword)
        return slice_

    def places(self) -> dict[int, np.ndarray]:
        """Where each voxel lies, by its number: towards left, posterior and superior, in millimetres."""
        found = {}
        for place in range(SLICES):
            for row in range(ROWS):
                for column in range(COLUMNS):
                    found[1 + (place * ROWS + row) * COLUMNS + column] = (
                        self.position(place)
                        + column * self.column_distance * np.asarray(self.along_row)
                        + row * self.row_distance * np.asarray(self.along_column)
                    )
        return found


OBLIQUE = turned(0.4, 0) @ turned(-0.3, 1) @ turned(0.2, 2)
WAYS = {
    "axial": Made(),
    "axial, named backwards": Made(reversed_names=True),
    "feet last": Made(along_column=(0, -1, 0)),
    "sagittal": Made((0, 1, 0), (0, 0, -1)),
    "coronal": Made((1, 0, 0), (0, 0, -1), slice_distance=0.9),
    "oblique": Made(OBLIQUE[0], OBLIQUE[1]),
    "oblique sagittal, named backwards": Made(OBLIQUE[1], -OBLIQUE[2], slice_distance=7.0, reversed_names=True),
}


def frames_of(file: Any) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Segment (0 of a label map), where each pixel lies ``(rows, columns, 3)``, and values, of each frame of a SEG."""
    shared = file.SharedFunctionalGroupsSequence[0]
    directions = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    down, right = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    values = file.pixel_array.reshape(-1, file.Rows, file.Columns)
    rows, columns = np.meshgrid(range(file.Rows), range(file.Columns), indexing="ij")
    found = []
    for group, frame in zip(file.PerFrameFunctionalGroupsSequence, values, strict=True):
        identified = _first(group, shared, "SegmentIdentificationSequence")
        first = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        places = first + columns[..., None] * right * directions[0] + rows[..., None] * down * directions[1]
        found.append((int(identified.ReferencedSegmentNumber) if identified else 0, places, frame))
    return found


def _first(group: Dataset, shared: Dataset, keyword: str) -> Dataset | None:
    held = next((each for each in (group, shared) if keyword in each), None)
    return held[keyword][0] if held is not None else None


def values_by_number(file: Any, made: Made) -> dict[int, dict[int, int]]:
    """Of each segment, the value of each voxel by its number; voxels in no frame have none."""
    numbers, places = zip(*made.places().items(), strict=True)
    found: dict[int, dict[int, int]] = {}
    for segment, where, values in frames_of(file):
        for place, value in zip(where.reshape(-1, 3), values.ravel(), strict=True):
            apart = np.linalg.norm(np.array(places) - place, axis=1)
            assert apart.min() < 1e-4
            found.setdefault(segment, {})[numbers[int(apart.argmin())]] = int(value)
    return found
