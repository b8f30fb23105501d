# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""DICOM series as volumes: every voxel where its tags say, and what is no volume refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from monai.data import PydicomReader
from monai.transforms import LoadImage
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from monai_coat.data import DicomSeries, check_readable, folder_datalist, read_image, to_grid
from monai_coat.data.volumes import volume_grid
from monai_coat.transforms import ReadImaged, ReadMaskd
from tests.data.dicom_files import COLUMNS, ROWS, SLICES, WAYS, Made

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"


@pytest.mark.parametrize("made", WAYS.values(), ids=WAYS)
def test_every_voxel_lies_where_its_tags_say(tmp_path, made):
    image = read_image(made.write(tmp_path / "series"))
    places = made.places()
    assert image.shape == (1, COLUMNS, ROWS, SLICES)
    assert set(image.unique().tolist()) == set(places)
    for index in np.ndindex(*image.shape[1:]):
        right, front, up, _ = image.affine.numpy() @ [*index, 1]
        assert np.allclose((-right, -front, up), places[int(image[0][index])], atol=1e-4)


@pytest.mark.parametrize("made", WAYS.values(), ids=WAYS)
def test_volumes_are_those_of_the_hosts_reader(tmp_path, made):
    folder = made.write(tmp_path / "series")
    theirs = LoadImage(image_only=True, ensure_channel_first=True)(folder, reader=PydicomReader())
    ours = read_image(folder)
    back = to_grid(theirs, (ours.affine.numpy(), tuple(ours.shape[1:])), ("theirs", "ours"))
    assert back.numpy().tolist() == ours.numpy().tolist()
    assert ours.meta["spatial_shape"].tolist() == [COLUMNS, ROWS, SLICES]


def test_the_series_that_pydicom_ships():
    series = DicomSeries.of(SHIPPED / "98892001" / "CT5N")
    assert [float(each.ImagePositionPatient[2]) for each in series.slices] == [-1.2375, 1.2625, 3.7625, 6.2625, 8.7625]
    lowest = pydicom.dcmread(SHIPPED / "98892001" / "CT5N" / "3353")
    expected = lowest.pixel_array.T * float(lowest.RescaleSlope) + float(lowest.RescaleIntercept)
    assert series.volume()[0, :, :, 0].numpy().tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("77654033/CT2", "equal distances, got 202.5 mm between"),  # three slices and a far one
        ("98892001/CT2N", "one volume, got ImageOrientationPatient"),  # two localizers
        ("98892003/MR1", "one volume, got SeriesInstanceUID"),
        ("98892003/MR700", "one volume, got ImageOrientationPatient"),  # projections round an axis
    ],
)
def test_folders_that_pydicom_ships_and_that_are_no_volume(folder, said):
    with pytest.raises(ValueError, match=said):
        DicomSeries.of(SHIPPED / folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rtdose.dcm", "one frame, got 15"),
        ("SC_rgb_rle.dcm", "got no PixelSpacing|got no ImageOrientationPatient"),
        ("reportsi.dcm", "got no Rows"),
        ("examples_palette.dcm", "must say where it lies"),
        ("README.txt", "readable DICOM files"),
    ],
)
def test_single_files_that_pydicom_ships_and_that_are_no_slice(tmp_path, name, said):
    shutil.copy(get_testdata_file(name, download=False) or SHIPPED.parent / name, tmp_path / name)
    with pytest.raises(ValueError, match=said) as caught:
        DicomSeries.of(tmp_path)
    assert name in str(caught.value)


def test_compressed_slices_are_the_same_values(tmp_path):
    volumes = []
    for name in ("MR_small.dcm", "MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_bigendian.dcm"):
        (tmp_path / name).mkdir()
        shutil.copy(get_testdata_file(name, download=False), tmp_path / name / "slice")
        volumes.append(
            read_image(tmp_path / name).numpy() if name.endswith("x") else DicomSeries.of(tmp_path / name).volume()
        )
    assert all(volume.numpy().tolist() == volumes[0].numpy().tolist() for volume in volumes)
    assert volumes[0].shape == (1, 64, 64, 1)
    assert np.allclose(volumes[0].affine[2], [0, 0, 0.8, 6.6406])  # SliceThickness 0.8


BAD = {
    "a slice is missing": (Made(left_out=(2,)), "equal distances, got 5 mm between .*image002 and image004"),
    "two in one place": (
        Made(changes={3: {"ImagePositionPatient": [-31.5, 12.25, 105.0]}}),
        "equal distances, got 0 mm",
    ),
    "two series": (Made(changes={3: {"SeriesInstanceUID": generate_uid()}}), "one volume, got SeriesInstanceUID"),
    "two patients": (Made(changes={3: {"PatientID": "99"}}), "got PatientID 99 in .*image004 and 42 in .*image001"),
    "two names": (
        Made(changes={0: {"PatientName": "Other^One"}}),
        r"got PatientName Test\^Case in .*image002 and Other",
    ),
    "two studies": (
        Made(changes={3: {"StudyInstanceUID": "1.2.3"}}),
        r"got StudyInstanceUID 1\.2\.3 in .*image004 and",
    ),
    "two frames": (
        Made(changes={3: {"FrameOfReferenceUID": "1.2.3"}}),
        r"got FrameOfReferenceUID 1\.2\.3 in .*image004",
    ),
    "a study that one does not say": (Made(changes={3: {"StudyInstanceUID": None}}), "got StudyInstanceUID nothing in"),
    "one image twice": (
        Made(changes={place: {"SOPInstanceUID": "1.2.3"} for place in (2, 4)}),
        r"different images, got the SOPInstanceUID 1\.2\.3 in .*image005 and in .*image003; leave the copy out",
    ),
    "two sizes": (Made(changes={3: {"PixelSpacing": [0.7, 0.41]}}), "one volume, got PixelSpacing"),
    "a turned slice": (
        Made(changes={3: {"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]}}),
        "got ImageOrientationPatient",
    ),
    "a tilted gantry": (
        Made(changes={k: {"ImagePositionPatient": [-31.5, 12.25 + 0.3 * k, 100 + 2.5 * k]} for k in range(SLICES)}),
        "stacked straight and evenly, got some up to 1.5 mm off",
    ),
    "no position": (Made(changes={3: {"ImagePositionPatient": None}}), "got no ImagePositionPatient in .*image004"),
    "no spacing": (Made(common={"PixelSpacing": None}), "got no PixelSpacing"),
    "no right angle": (Made(common={"ImageOrientationPatient": [1, 0, 0, 0.5, 1, 0]}), "right angles"),
    "two numbers of a position": (Made(changes={3: {"ImagePositionPatient": [1, 2]}}), "2, 6 and 3 numbers"),
    "dark is bright": (Made(common={"PhotometricInterpretation": "MONOCHROME1"}), "larger ones brighter"),
    "several frames": (Made(changes={3: {"NumberOfFrames": 2}}), "one frame, got 2"),
}


@pytest.mark.parametrize(("made", "said"), BAD.values(), ids=BAD)
def test_what_is_no_volume_is_refused(tmp_path, made, said):
    with pytest.raises(ValueError, match=said):
        DicomSeries.of(made.write(tmp_path / "series"))


def test_a_series_without_patient_study_and_frame_of_reference_is_read(tmp_path):
    common = dict.fromkeys(("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"))
    assert DicomSeries.of(Made(common=common).write(tmp_path / "series")).volume().shape[-1] == SLICES


def test_files_that_are_no_slices(tmp_path):
    folder = Made().write(tmp_path / "series")
    for name in ("DICOMDIR", ".hidden"):
        (folder / name).write_text("passed over")
    DicomSeries.of(folder)
    (folder / "notes.txt").write_text("not passed over")
    with pytest.raises(ValueError, match=r"readable DICOM files, got .*notes\.txt"):
        DicomSeries.of(folder)
    with pytest.raises(FileNotFoundError, match="which does not exist"):
        DicomSeries.of(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty"):
        DicomSeries.of(tmp_path / "empty")


def test_a_slice_that_was_cut_short_is_named(tmp_path):
    folder = Made().write(tmp_path / "series")
    cut = folder / "image003"
    cut.write_bytes(cut.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"readable DICOM files, got .*image003"):
        read_image(folder)


def test_one_slice_alone_must_say_how_thick_it_is(tmp_path):
    alone = Made(left_out=tuple(range(1, SLICES)), common={"SliceThickness": None})
    with pytest.raises(ValueError, match="how thick"):
        DicomSeries.of(alone.write(tmp_path / "series"))


def test_series_are_images_of_a_folder(tmp_path):
    """Names are UIDs as a rule: what follows the last dot belongs to them."""
    for name in ("1.2.840.1", "1.2.840.2"):
        Made().write(tmp_path / "images" / name)
    (tmp_path / "images" / "no images").mkdir()
    samples = folder_datalist(tmp_path / "images")
    assert [sample["id"] for sample in samples] == ["1.2.840.1", "1.2.840.2"]
    check_readable(samples)
    assert ReadImaged("image")(samples[0])["image"].shape == (1, COLUMNS, ROWS, SLICES)


def test_a_nifti_mask_of_a_series_lies_on_it(tmp_path):
    folder = WAYS["coronal"].write(tmp_path / "series")
    series = DicomSeries.of(folder)
    marked = (series.volume()[0] % 7 == 0).numpy().astype(np.uint8)
    nibabel.save(nibabel.as_closest_canonical(nibabel.Nifti1Image(marked, series.affine)), tmp_path / "mask.nii.gz")
    assert volume_grid(tmp_path / "mask.nii.gz")[1] != series.grid[1]
    sample = {"image": str(folder), "label": str(tmp_path / "mask.nii.gz")}
    check_readable([sample])
    read = ReadMaskd("label")(ReadImaged("image")(sample))
    assert ((read["image"] % 7 == 0) == read["label"].bool()).all()
    beside = series.affine.copy()
    beside[0, 3] += 5
    nibabel.save(nibabel.Nifti1Image(marked, beside), tmp_path / "mask.nii.gz")
    with pytest.raises(ValueError, match="lie on one another"):
        check_readable([sample])
