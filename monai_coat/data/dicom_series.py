# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A DICOM series: a folder of slices, and the volume that they are slices of."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import SpaceKeys, optional_import
from numpy.typing import NDArray

from monai_coat.data.dicom_agreement import COMMON, COMMON_IF_SAID, check_agreement
from monai_coat.data.grids import TOLERANCE, Grid
from monai_coat.data.volumes import MOST_VOXELS
from monai_coat.files.names import kind_of

dicom: Any = optional_import(
    "pydicom", descriptor="pydicom must be installed to read DICOM; run pip install 'monai_coat[dicom]' ({})."
)[0]
pixels: Any = optional_import(
    "pydicom.pixels", descriptor="pydicom must be installed to read DICOM; run pip install 'monai_coat[dicom]' ({})."
)[0]

__all__ = ["DicomSeries", "holds_dicom"]

Path_ = str | os.PathLike[str]

PLACE = (*COMMON, "ImagePositionPatient", "SOPInstanceUID")
"""Without these a slice lies nowhere, or is of no series."""

ROUNDING = 2e-3
"""How far products of direction cosines may be from 0 and 1: headers round them."""

SHAPE = ("NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation")

NO_SLICES = ("DICOMDIR",)
"""Files of exported folders that are passed over, as hidden files are."""


@dataclass(frozen=True)
class DicomSeries:
    """The slices of one series in the order in which they lie, and where they lie.

    The order is that along the normal of the slices, whatever the names and numbers of the files say.

    Attributes:
        folder: where the slices are.
        files: the slices.
        slices: their headers, pydicom's data sets without pixels.
        affine: from voxels (column, row, slice) to millimetres ``(4, 4)``, towards right, anterior, superior: the
            convention of MONAI and NIfTI, not that of DICOM.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> series = DicomSeries.of(Path(get_testdata_file("2062", download=False)).parent)
        >>> series.grid[1], series.affine[:3, 3].tolist()
        ((16, 16, 5), [72.199997, 143.0, -1.2375])
    """

    folder: Path
    files: tuple[Path, ...]
    slices: tuple[Any, ...]
    affine: NDArray[np.float64]

    @classmethod
    def of(cls, folder: Path_) -> DicomSeries:
        """The series in a folder, from the headers of its files.

        Args:
            folder: the files of one series and nothing else, but for hidden files and a DICOMDIR.

        Raises:
            FileNotFoundError: if there is no such folder, or it is empty.
            ValueError: naming the files, if one cannot be read, or they are not the slices of one volume: of two
                series, studies, patients or frames of reference, of several sizes or orientations, two of one image or
                in one place, at unequal distances, as they are where a slice is missing, or shifted against each other,
                as they are with a tilted gantry.
        """
        files = _files(Path(folder))
        headers = [_header(file) for file in files]
        check_agreement(headers, files)
        order, affine = _stacked(headers, files)
        size = (int(headers[0].Columns), int(headers[0].Rows), len(files))
        if np.prod(size, dtype=float) > MOST_VOXELS:
            raise ValueError(f"series must have at most {MOST_VOXELS} voxels, got {size} in {folder}; crop it.")
        return cls(
            Path(folder), tuple(files[place] for place in order), tuple(headers[place] for place in order), affine
        )

    @property
    def grid(self) -> Grid:
        """Affine, and number of columns, rows and slices."""
        return self.affine, (int(self.slices[0].Columns), int(self.slices[0].Rows), len(self.slices))

    def volume(self) -> MetaTensor:
        """The values, rescaled as each slice says (a CT's are Hounsfield units), as float32 ``(1, *spatial)``.

        Raises:
            ValueError: naming the file, if its pixels cannot be decoded.
        """
        values = torch.from_numpy(np.stack([_values(file) for file in self.files], axis=-1))[None]
        meta = {
            "original_affine": self.affine.copy(),
            "spatial_shape": np.asarray(self.grid[1]),
            "space": SpaceKeys.RAS,
            "original_channel_dim": float("nan"),
            "filename_or_obj": str(self.folder),
        }
        return MetaTensor(values, affine=torch.from_numpy(self.affine.copy()), meta=meta)


def holds_dicom(folder: Path_) -> bool:
    """Whether something is a folder that holds a DICOM file, by the mark in its 129th to 132nd byte.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> file = Path(get_testdata_file("2062", download=False))
        >>> holds_dicom(file.parent), holds_dicom(file), holds_dicom(file.parents[1])
        (True, False, False)
    """
    return os.path.isdir(folder) and any(map(_is_dicom, sorted(Path(folder).iterdir())))


def _is_dicom(path: Path) -> bool:
    if path.name.startswith(".") or path.name in NO_SLICES or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"series must be a folder, got {folder}, which {kind_of(folder)}; correct the path.")
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    files = [entry for entry in entries if entry.name not in NO_SLICES]
    if not files:
        raise FileNotFoundError(f"series must be a folder of DICOM files, got {folder}, which is empty; correct it.")
    return files


def _header(file: Path) -> Any:
    """The header of a slice that says where it lies."""
    header = _opened(file, lambda: _decoded(dicom.dcmread(file, stop_before_pixels=True)))
    missing = [keyword for keyword in PLACE if header.get(keyword) in (None, "")]
    frames, samples, kind = (header.get(keyword) for keyword in SHAPE)
    if missing:
        raise ValueError(f"slice must say where it lies, got no {missing[0]} in {file}; leave the file out.")
    if frames not in (None, 1):
        raise ValueError(
            f"slice must be one frame, got {frames} in {file}; convert the file to one of single frames, or to NIfTI."
        )
    if samples != 1 or kind != "MONOCHROME2":
        raise ValueError(f"slice must have grey values, larger ones brighter, got {kind} in {file}; leave it out.")
    lengths = [len(np.ravel(header[keyword].value)) for keyword in PLACE[3:6]]
    if lengths != [2, 6, 3]:
        raise ValueError(f"slice must have a place of 2, 6 and 3 numbers, got {lengths} in {file}; leave it out.")
    return header


def _decoded(header: Any) -> Any:
    """A header whose numbers were read: pydicom reads an element when it is asked for."""
    for keyword in (*PLACE, *COMMON_IF_SAID, *SHAPE):
        header.get(keyword)
    return header


def _opened(file: Path, read: Callable[[], Any]) -> Any:
    """What ``read`` gives, with the file's name in its errors."""
    if not file.is_file():
        raise ValueError(f"series must hold DICOM files, got {file}, which {kind_of(file)}; move it away.")
    try:
        return read()
    except Exception as error:  # pydicom and its decoders raise a dozen kinds
        raise ValueError(
            f"series must hold readable DICOM files, got {file} ({str(error) or type(error).__name__}); replace the "
            "file, or move what is no slice away."
        ) from None


def _numbers(values: Any) -> NDArray[np.float64]:
    return np.array([float(value) for value in values])


def _stacked(headers: Sequence[Any], files: Sequence[Path]) -> tuple[list[int], NDArray[np.float64]]:
    """The order of the slices along their normal, and the affine of the volume.

    A slice says where the middle of its first pixel lies, where columns and rows run and how far apart they are, all
    towards left, posterior and superior.
    """
    first = headers[0]
    along_row, along_column = _numbers(first.ImageOrientationPatient).reshape(2, 3)
    down, right = _numbers(first.PixelSpacing)
    normal = np.cross(along_row, along_column)
    products = np.array([along_row @ along_row, along_column @ along_column, 1 + along_row @ along_column])
    if not (np.abs(products - 1) < ROUNDING).all() or min(down, right) <= 0:
        raise ValueError(
            f"slice must have rows and columns at right angles and apart, got {first.ImageOrientationPatient} and "
            f"{first.PixelSpacing} in {files[0]}; correct the header."
        )
    positions = np.stack([_numbers(header.ImagePositionPatient) for header in headers])
    if not np.isfinite(positions).all():
        raise ValueError(f"slices must lie somewhere, got positions that are not finite in {files[0].parent}.")
    order = np.argsort(positions @ normal, kind="stable").tolist()
    positions = positions[order]
    _check_distances(positions @ normal, [files[place] for place in order])
    if len(headers) == 1:
        step = normal * _thickness(first, files[0])
    else:
        step = (positions[-1] - positions[0]) / (len(headers) - 1)
        _check_straight(positions, normal, min(down, right, float(np.linalg.norm(step))), files[0].parent)
    affine = np.eye(4)
    affine[:3] = np.stack([along_row * right, along_column * down, step, positions[0]], axis=1)
    return order, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _thickness(header: Any, file: Path) -> float:
    """How far the slice next to one that is alone would be, in millimetres."""
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        value = _opened(file, lambda keyword=keyword: header.get(keyword))  # type: ignore[misc]
        if value is not None and float(value) > 0:
            return float(value)
    raise ValueError(f"slice that is alone must say how thick it is, got no SliceThickness in {file}; add it.")


def _check_distances(places: NDArray[np.float64], files: Sequence[Path]) -> None:
    """Slices must be equally far from each other, up to the rounding of headers."""
    distances = np.diff(places)
    usual = float(np.median(distances)) if len(distances) else 1.0
    odd = np.abs(distances - usual) > TOLERANCE * usual
    if usual <= 0 or odd.any():
        worst = int(np.abs(distances - usual).argmax() if usual > 0 else distances.argmin())
        raise ValueError(
            f"slices must be at equal distances, got {distances[worst]:g} mm between {files[worst]} and "
            f"{files[worst + 1].name} where the usual is {usual:g}; add the slices that are missing, or give each "
            "volume a folder of its own."
        )


def _check_straight(positions: NDArray[np.float64], normal: NDArray[np.float64], edge: float, folder: Path) -> None:
    """Slices must lie one upon the other, within a tenth of the shortest voxel edge."""
    along = ((positions - positions[0]) @ normal)[:, None] * normal
    shift = float(np.linalg.norm(positions - positions[0] - along, axis=1).max())
    even = np.linspace(positions[0], positions[-1], len(positions))
    uneven = float(np.linalg.norm(positions - even, axis=1).max())
    if max(shift, uneven) > TOLERANCE * edge:
        raise ValueError(
            f"slices must be stacked straight and evenly, got some up to {max(shift, uneven):.3g} mm off in {folder} "
            "(a tilted gantry?); resample the series."
        )


def _values(file: Path) -> NDArray[np.float32]:
    """The values of a slice ``(columns, rows)``."""

    def read() -> Any:
        whole = dicom.dcmread(file)
        return pixels.apply_modality_lut(whole.pixel_array, whole)

    return np.asarray(_opened(file, read), dtype=np.float32).T
