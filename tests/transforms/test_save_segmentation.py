# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scores of a series as a DICOM segmentation at the end of a pipeline."""

from __future__ import annotations

import pydicom
import pytest
import torch
from monai.data import MetaTensor, decollate_batch, list_data_collate
from monai.transforms import Compose, Orientationd, Spacingd

from monai_coat.calibration import CalibrationResult, save_calibration
from monai_coat.transforms import ConformalMask, ReadImaged, RestoreGridd, SaveSegmentationd
from tests.data.dicom_files import WAYS, Made, values_by_number

POSSIBLE = CalibrationResult((0.25,), 0.1, (99,), (0,), (0.09,), "E[FNR] <= 0.1")
WORDS = "E[min(1, false positives / foreground)] <= 0.2"
CERTAIN = CalibrationResult((0.75,), 0.2, (99,), (0,), (0.09,), WORDS, controls="false_positive_ratio")


def saver(folder, **more):
    return SaveSegmentationd("pred", output_dir=folder, classes=["liver"], possible=POSSIBLE, **more)


@pytest.mark.parametrize("made", WAYS.values(), ids=WAYS)
def test_the_sets_of_a_restored_map_are_written(tmp_path, made):
    """As a bundle does it: read, turn, resample, batch; a map on that grid, restored; the sets of the restored one."""
    folder = made.write(tmp_path / "1.2.840.7")
    before = Compose(
        [ReadImaged("image"), Orientationd("image", "RAS", labels=None), Spacingd("image", (0.5, 0.6, 2.0))]
    )
    data = decollate_batch(list_data_collate([before({"image": str(folder)})]))[0]
    data["pred"] = (data["image"] / data["image"].max()).clone()
    restored = RestoreGridd("pred", before, "image", nearest_interp=False)(data)
    assert saver(tmp_path / "out", certain=CERTAIN)(restored)["pred"] is restored["pred"]
    found = values_by_number(pydicom.dcmread(tmp_path / "out" / "1.2.840.7_seg.dcm"), made)
    numbers = ReadImaged("image")({"image": str(folder)})["image"]
    for segment, calibration in ((1, POSSIBLE), (2, CERTAIN)):
        inside = numbers[ConformalMask(calibration)(restored["pred"]).bool()]
        assert {number for number, value in found.get(segment, {}).items() if value} == set(inside.int().tolist())
    assert len(found[1]) > 10


def test_artifacts_are_read_and_types_passed_on(tmp_path):
    save_calibration(POSSIBLE, tmp_path / "possible.json")
    image = ReadImaged("image")({"image": str(Made().write(tmp_path / "series"))})["image"]
    data = {"pred": MetaTensor(image / 120, meta=image.meta), "probs": MetaTensor(image / 200, meta=image.meta)}
    transform = SaveSegmentationd(
        "pred",
        probs_key="probs",
        output_dir=tmp_path,
        classes=["liver"],
        possible=tmp_path / "possible.json",
        segmentation_type="FRACTIONAL",
    )
    transform(data)
    file = pydicom.dcmread(tmp_path / "series_seg.dcm")
    assert [segment.SegmentLabel for segment in file.SegmentSequence] == ["liver possible", "liver probability"]
    assert POSSIBLE.guarantee in file.SegmentSequence[0].SegmentDescription


def test_other_images_are_refused_or_passed_over(tmp_path):
    data = {"pred": MetaTensor(torch.rand(1, 3, 4, 5), meta={"filename_or_obj": str(tmp_path / "a.nii.gz")})}
    with pytest.raises(FileNotFoundError, match=r"DICOM series, .* got '.*a\.nii\.gz'"):
        saver(tmp_path)(data)
    with pytest.raises(FileNotFoundError, match="got 'none'"):
        saver(tmp_path)({"pred": torch.rand(1, 3, 4, 5)})
    assert saver(tmp_path, allow_other_images=True)(data) == data
    assert not list(tmp_path.iterdir())


def test_scores_that_do_not_fit_are_refused_and_nothing_written(tmp_path):
    image = ReadImaged("image")({"image": str(Made().write(tmp_path / "series"))})["image"]
    scores = MetaTensor(image / 120, meta=image.meta)
    for pred, said in (
        (scores.repeat(2, 1, 1, 1), "for 1 classes, the scores have 2"),
        (scores * float("nan"), "finite"),
        (scores[:, 1:], "one size"),
    ):
        with pytest.raises(ValueError, match=said):
            saver(tmp_path / "out")({"pred": pred})
    assert not (tmp_path / "out").exists()
