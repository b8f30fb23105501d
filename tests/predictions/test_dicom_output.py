# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sets of saved maps as DICOM segmentations of the images' series, against the masks beside them."""

from __future__ import annotations

import importlib.util

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from monai_coat.cli import main
from monai_coat.data import DicomSeries
from tests.data.dicom_files import WAYS, frames_of

COUNT = 6


@pytest.fixture(params=["axial", "oblique sagittal, named backwards"])
def folders(request, tmp_path):
    """Series, maps whose axes are in another order than the slices', and masks."""
    rng = np.random.default_rng(0)
    for name in ("maps", "labels"):
        (tmp_path / name).mkdir()
    for number in range(COUNT):
        series = DicomSeries.of(WAYS[request.param].write(tmp_path / "scans" / f"case{number}"))
        probs = rng.random(series.grid[1]).astype(np.float32)
        label = (rng.random(probs.shape) < probs).astype(np.uint8)
        turn = nibabel.orientations.axcodes2ornt(("S", "L", "A"))
        for name, values in (("maps", probs), ("labels", label)):
            volume = nibabel.Nifti1Image(values, series.affine).as_reoriented(turn)
            nibabel.save(volume, tmp_path / name / f"case{number}.nii.gz")
    said = ["--probs", str(tmp_path / "maps"), "--labels", str(tmp_path / "labels"), "--alpha", "0.4"]
    assert main(["calibrate", *said, "--output", str(tmp_path / "possible.json")]) == 0
    certain = ["--risk", "false_positive_ratio", "--output", str(tmp_path / "certain.json")]
    assert main(["calibrate", *said, *certain]) == 0
    return tmp_path


def applied(root, *more):
    arguments = ["--probs", str(root / "maps"), "--series", str(root / "scans"), "--output", str(root / "out")]
    return main(["apply", str(root / "possible.json"), *arguments, *more])


@pytest.mark.parametrize("package", ["pydicom", "highdicom"])
def test_without_the_extra_one_sentence_names_it(folders, capsys, monkeypatch, package):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(SystemExit) as stopped:
        applied(folders)
    assert stopped.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{package} must be installed to write DICOM segmentations" in said
    assert "pip install 'monai_coat[dicom]'" in said
    assert not (folders / "out").exists()


def places_of_mask(path, labels=(1,)):
    """Where the voxels of a NIfTI mask lie, towards left, posterior and superior, to a hundredth of a millimetre."""
    volume = nibabel.load(path)
    voxels = np.argwhere(np.isin(np.asarray(volume.dataobj), labels))
    places = (np.c_[voxels, np.ones(len(voxels))] @ volume.affine.T)[:, :3] * (-1, -1, 1)
    return {tuple(place) for place in np.round(places, 2) + 0.0}


def places_of_segment(path, number):
    found = set()
    for segment, places, values in frames_of(pydicom.dcmread(path)):
        if segment == number:
            found |= {tuple(place) for place in np.round(places[values > 0], 2) + 0.0}
    return found


def test_the_segment_is_the_mask_and_has_the_promise(folders):
    assert applied(folders) == 0
    for number in range(COUNT):
        path = folders / f"out/case{number}_seg.dcm"
        assert places_of_segment(path, 1) == places_of_mask(folders / f"out/case{number}.nii.gz")
        (segment,) = pydicom.dcmread(path).SegmentSequence
        assert segment.SegmentLabel == "foreground possible"
        assert "E[FNR] <= 0.4" in segment.SegmentDescription


def test_what_is_certain_is_a_segment_too(folders):
    assert applied(folders, "--certain", str(folders / "certain.json")) == 0
    for number in range(COUNT):
        path, graded = (folders / f"out/case{number}{ending}" for ending in ("_seg.dcm", ".nii.gz"))
        assert places_of_segment(path, 1) == places_of_mask(graded, (1, 2))
        assert places_of_segment(path, 2) == places_of_mask(graded, (1,))


def test_an_image_without_a_series_is_refused_before_anything_is_written(folders, capsys):
    (folders / "scans/case3").rename(folders / "scans/other")
    with pytest.raises(SystemExit):
        applied(folders)
    assert "series must hold the folder of a series for every image, got none for 'case3'" in capsys.readouterr().err
    assert not (folders / "out").exists()


def test_flat_maps_have_no_place_on_a_series(tmp_path, rng, capsys):
    for name in ("maps", "labels"):
        (tmp_path / name).mkdir()
    for number in range(COUNT):
        probs = rng.integers(0, 256, (8, 9), np.uint8)
        for name, values in (("maps", probs), ("labels", np.uint8(255) * (probs > 99))):
            Image.fromarray(values).save(tmp_path / name / f"case{number}.png")
        (tmp_path / "scans" / f"case{number}").mkdir(parents=True)
    said = ["--probs", str(tmp_path / "maps"), "--labels", str(tmp_path / "labels"), "--alpha", "0.4"]
    assert main(["calibrate", *said, "--output", str(tmp_path / "possible.json")]) == 0
    with pytest.raises(SystemExit):
        applied(tmp_path)
    assert "maps must be volumes in NIfTI or NRRD" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_masks_have_no_fractions(folders, capsys):
    said = ["--masks", str(folders / "labels"), "--labels", str(folders / "labels"), "--alpha", "0.4"]
    assert main(["calibrate", *said, "--output", str(folders / "possible.json")]) == 0
    arguments = ["--masks", str(folders / "labels"), "--series", str(folders / "scans"), "--output"]
    apply = ["apply", str(folders / "possible.json"), *arguments, str(folders / "out")]
    with pytest.raises(SystemExit):
        main([*apply, "--segmentation-type", "FRACTIONAL"])
    assert "must be BINARY or LABELMAP for masks, which have no probabilities" in capsys.readouterr().err
    assert main(apply) == 0
