# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""DICOM segmentations: every voxel of every segment where it belongs, by the tags alone, or nothing written."""

from __future__ import annotations

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation

from monai_coat.data import DicomSeries, Segment, write_dicom_seg
from tests.data.dicom_files import COLUMNS, ROWS, SLICES, WAYS, Made, values_by_number

SEGMENTS = [Segment(1, "liver possible", "E[FNR] <= 0.1"), Segment(2, "liver certain", "E[...] <= 0.2")]


def masks_of(series):
    """Two masks that overlap, by the numbers of the voxels: every third and every fourth."""
    image = series.volume()
    numbers = image.as_tensor()
    return MetaTensor(torch.cat([numbers % 3 == 0, numbers % 4 == 0]), affine=image.affine)


@pytest.mark.parametrize("axcodes", [None, "RAS", "LPI", "SAR"])
@pytest.mark.parametrize("made", WAYS.values(), ids=WAYS)
def test_every_voxel_of_every_segment_is_where_it_belongs(tmp_path, made, axcodes):
    series = DicomSeries.of(made.write(tmp_path / "series"))
    masks = masks_of(series)
    if axcodes:
        masks = Orientation(axcodes, labels=None)(masks.float())
    write_dicom_seg(tmp_path / "seg.dcm", series, SEGMENTS, masks, "BINARY")
    found = values_by_number(pydicom.dcmread(tmp_path / "seg.dcm"), made)
    for segment, step in ((1, 3), (2, 4)):
        marked = {number for number, value in found[segment].items() if value}
        assert marked == {number for number in made.places() if number % step == 0}


@pytest.mark.parametrize("made", WAYS.values(), ids=WAYS)
def test_highdicom_reads_the_same_volume(tmp_path, made):
    series = DicomSeries.of(made.write(tmp_path / "series"))
    masks = masks_of(series)
    write_dicom_seg(tmp_path / "seg.dcm", series, SEGMENTS, masks, "BINARY")
    read = highdicom.seg.segread(tmp_path / "seg.dcm").get_volume()
    grid = nibabel.Nifti1Image(read.array, np.diag([-1, -1, 1, 1]) @ read.affine)
    ours = nibabel.Nifti1Image(masks.permute(1, 2, 3, 0).numpy().astype(np.uint8), series.affine)
    theirs, ours = (nibabel.as_closest_canonical(image) for image in (grid, ours))
    assert np.array_equal(theirs.dataobj, ours.dataobj)
    assert np.allclose(theirs.affine, ours.affine, atol=1e-4)


def test_labels_and_fractions(tmp_path):
    made = WAYS["oblique"]
    series = DicomSeries.of(made.write(tmp_path / "series"))
    numbers, affine = series.volume().as_tensor(), torch.from_numpy(series.affine)
    labels = MetaTensor(torch.where(numbers % 3 == 0, 300, torch.where(numbers % 3 == 1, 1, 0)), affine=affine)
    named = [Segment(1, "a", "a"), Segment(7, "b, which is nowhere", "b"), Segment(300, "c", "c")]
    write_dicom_seg(tmp_path / "labels.dcm", series, named, labels, "LABELMAP")
    file = pydicom.dcmread(tmp_path / "labels.dcm")
    assert file.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7"  # Label Map Segmentation Storage
    assert values_by_number(file, made)[0] == {n: {0: 300, 1: 1, 2: 0}[n % 3] for n in made.places()}
    assert [(int(s.SegmentNumber), s.SegmentLabel) for s in file.SegmentSequence][1:] == [
        (segment.number, segment.label) for segment in named
    ]
    fractions = MetaTensor(torch.cat([numbers / 200, numbers % 2]), affine=affine)
    write_dicom_seg(tmp_path / "fractions.dcm", series, SEGMENTS, fractions, "FRACTIONAL")
    file = pydicom.dcmread(tmp_path / "fractions.dcm")
    assert (file.SegmentationFractionalType, file.MaximumFractionalValue) == ("PROBABILITY", 255)
    found = values_by_number(file, made)
    assert all(abs(value / 255 - number / 200) <= 0.5 / 255 + 1e-6 for number, value in found[1].items())
    assert found[2] == {number: 255 * (number % 2) for number in made.places()}


def test_frames_name_the_slice_that_they_are_of(tmp_path):
    series = DicomSeries.of(WAYS["axial, named backwards"].write(tmp_path / "series"))
    write_dicom_seg(tmp_path / "seg.dcm", series, SEGMENTS, masks_of(series), "BINARY")
    at = {tuple(each.ImagePositionPatient): each.SOPInstanceUID for each in series.slices}
    file = pydicom.dcmread(tmp_path / "seg.dcm")
    assert len(file.PerFrameFunctionalGroupsSequence) == 2 * SLICES
    for group in file.PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert at[tuple(group.PlanePositionSequence[0].ImagePositionPatient)] == source


@pytest.mark.parametrize("charset", [None, "ISO_IR 100"])
def test_patient_and_study_are_those_of_the_series(tmp_path, charset):
    name = "Müller^Jörg" if charset else "Doe^Jane"
    common = {"SpecificCharacterSet": charset, "PatientName": name, "StudyDate": "20260102", "SeriesNumber": 7}
    made = Made(common={key: value for key, value in common.items() if value})
    series = DicomSeries.of(made.write(tmp_path / "series"))
    segment = Segment(1, "foie gauche é", "E[FNR] ≤ 0.1")
    write_dicom_seg(tmp_path / "seg.dcm", series, [segment], masks_of(series)[:1], "BINARY")
    file, source = pydicom.dcmread(tmp_path / "seg.dcm"), series.slices[0]
    assert (str(file.PatientName), file.PatientID, file.StudyDate, file.SeriesNumber) == (name, "42", "20260102", 107)
    assert file.StudyInstanceUID == source.StudyInstanceUID
    assert file.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert file.SeriesInstanceUID != source.SeriesInstanceUID
    assert file.PatientSex is None or file.PatientSex == ""
    assert (file.SegmentSequence[0].SegmentLabel, file.SegmentSequence[0].SegmentDescription) == (
        segment.label,
        segment.description,
    )
    assert file.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Tissue"


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP", "FRACTIONAL"])
def test_nothing_at_all_is_a_segmentation_too(tmp_path, kind):
    series = DicomSeries.of(Made().write(tmp_path / "series"))
    nothing = MetaTensor(torch.zeros(1 + (kind != "LABELMAP"), COLUMNS, ROWS, SLICES), affine=series.volume().affine)
    write_dicom_seg(tmp_path / "seg.dcm", series, SEGMENTS, nothing, kind)
    file = pydicom.dcmread(tmp_path / "seg.dcm")
    assert not file.pixel_array.any()
    assert [s.SegmentLabel for s in file.SegmentSequence][-2:] == [s.label for s in SEGMENTS]


def bad(series, change):
    masks = masks_of(series)
    moved = masks.affine.clone()
    moved[0, 3] += 1
    return {
        "another size": (masks[:, :-1], "BINARY", "one size"),
        "another place": (MetaTensor(masks.as_tensor(), affine=moved), "BINARY", "lie on one another"),
        "no place": (masks.as_tensor(), "BINARY", "must be a MetaTensor"),
        "too few masks": (masks[:1], "BINARY", "2 channels"),
        "scores": (masks * 0.7, "BINARY", "must be 0 or 1, got 0 to 0.7"),
        "not finite": (masks / 0.0, "FRACTIONAL", r"in \[0, 1\]"),
        "above one": (masks * 2.0, "FRACTIONAL", r"in \[0, 1\], got 0 to 2"),
        "a label without a name": (masks[:1] * 3, "LABELMAP", "number of a segment, got 0 to 3"),
        "no such type": (masks, "SURFACE", "BINARY, LABELMAP or FRACTIONAL, got 'SURFACE'"),
    }[change]


@pytest.mark.parametrize(
    "change",
    [
        *("another size", "another place", "no place", "too few masks", "scores", "not finite", "above one"),
        *("a label without a name", "no such type"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_written(tmp_path, change):
    series = DicomSeries.of(Made().write(tmp_path / "series"))
    values, kind, said = bad(series, change)
    with pytest.raises(ValueError, match=said):
        write_dicom_seg(tmp_path / "out" / "seg.dcm", series, SEGMENTS, values, kind)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("keyword", "said"),
    [
        ("FrameOfReferenceUID", "frame of reference.*image001; add FrameOfReferenceUID"),
        ("StudyInstanceUID", "must have a study, .*image001; add StudyInstanceUID"),
        ("SOPClassUID", "must have a class, .*image001; add SOPClassUID"),
        ("SliceThickness", "must have a thickness, .*image001; add SliceThickness"),
    ],
)
def test_a_series_without_what_a_segmentation_repeats_is_refused(tmp_path, keyword, said):
    series = DicomSeries.of(Made(common={keyword: None}).write(tmp_path / "series"))
    with pytest.raises(ValueError, match=said):
        write_dicom_seg(tmp_path / "seg.dcm", series, SEGMENTS, masks_of(series), "BINARY")


@pytest.mark.parametrize("asked", [False, True])
def test_highdicom_says_nothing_unless_asked(tmp_path, caplog, asked):
    series = DicomSeries.of(Made().write(tmp_path / "series"))
    caplog.set_level("DEBUG")
    if asked:
        caplog.set_level("INFO", "highdicom")
    write_dicom_seg(tmp_path / "seg.dcm", series, SEGMENTS, masks_of(series), "BINARY")
    assert asked == any(record.name.startswith("highdicom") for record in caplog.records)


@pytest.mark.parametrize(
    ("label", "description", "said"),
    [
        ("a" * 65, "x", "label of a segment must have 1 to 64 characters"),
        ("a", "x" * 1025, "description of a segment must have 1 to 1024 characters"),
        ("", "x", "1 to 64"),
        ("a", " x", "blank at an end"),
        ("a\\b", "x", "without backslashes"),
        ("a", "one\ntwo", "one line"),
    ],
)
def test_texts_that_dicom_cannot_hold_are_refused_and_not_cut(label, description, said):
    with pytest.raises(ValueError, match=said):
        Segment(1, label, description)
    assert Segment(1, "a" * 64, "x" * 1024).label == "a" * 64
