# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Volumes of two classes: every step on generated volumes, and what is written in the space of the image."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from monai_coat.calibration import load_calibration
from monai_coat.data import DicomSeries, write_synthetic_dataset
from monai_coat.transforms import CertaintyLabels
from tests.bundles.conftest import HIPPOCAMPUS, METHODS, VolumeRun
from tests.data.dicom_files import Made, frames_of


def test_each_class_has_a_cutoff_and_a_promise(volume_run: VolumeRun):
    for method in METHODS:
        possible = load_calibration(volume_run.folder / "models" / f"calibration_{method}.json")
        certain = load_calibration(volume_run.folder / "models" / f"certain_{method}.json")
        assert len(possible.cutoff) == len(certain.cutoff) == 2
        assert (possible.controls, certain.controls) == ("false_negative_rate", "false_positive_ratio")
        assert possible.identity == certain.identity
        assert possible.identity.network
        assert set(possible.identity.pipeline) == {"preprocessing", "inferer", "restore"}
        assert all(risk <= 0.2 for risk in possible.risk + certain.risk)


def test_the_worst_class_can_be_promised(volume_run: VolumeRun, tmp_path: Path):
    models = volume_run.folder / "models"
    for name in ("segmenter.pt", "scorer_coat.pt", "partition.json"):
        (tmp_path / name).write_bytes((models / name).read_bytes())
    kind = {"guarantee#risk#_target_": "monai_coat.calibration.WorstClassFalseNegativeRate"}
    volume_run.run("calibrate", method="coat", model_dir=str(tmp_path), **kind)
    worst, single = (load_calibration(folder / "calibration_coat.json") for folder in (tmp_path, models))
    assert worst.controls == "worst_class_false_negative_rate"
    assert worst.cutoff[0] == worst.cutoff[1] <= max(single.cutoff)
    with pytest.raises(RuntimeError) as caught:  # another promise is wanted where nothing else is said
        volume_run.run("inference", method="coat", model_dir=str(tmp_path))
    assert "calibration is for expected_risk of worst_class_false_negative_rate, wanted is" in str(
        caught.value.__cause__ or caught.value
    )


def test_tables_and_pages_are_per_class(volume_run: VolumeRun):
    volume_run.run("evaluate", methods=list(METHODS))
    for name in ("anterior", "posterior", "worst_class"):
        table = (volume_run.folder / "output" / "evaluation" / name / "table.md").read_text()
        assert all(f"| {method} |" in table for method in (*METHODS, "predict-all"))
        assert (volume_run.folder / "output" / "evaluation" / name / "page.png").stat().st_size > 0


@pytest.fixture(scope="module")
def turned(volume_run: VolumeRun) -> Path:
    """A volume as it was, with its axes in another order and direction, and with other spacing."""
    folder = volume_run.folder / "turned"
    folder.mkdir()
    source = sorted((volume_run.folder / "data" / "synthetic" / "images").iterdir())[0]
    volume = nibabel.load(source).get_fdata().astype(np.float32)
    plain = nibabel.Nifti1Image(volume, np.eye(4))
    nibabel.save(plain, folder / "plain.nii.gz")
    nibabel.save(plain.as_reoriented(np.array([[1, -1], [2, 1], [0, -1]])), folder / "turned.nii.gz")
    affine = np.array([[0, 0, -1.5, 30], [-1, 0, 0, 12], [0, 1.25, 0, -7], [0, 0, 0, 1]], dtype=float)
    nibabel.save(nibabel.Nifti1Image(volume, affine), folder / "spaced.nii.gz")
    return folder


def test_predictions_come_back_in_the_volume_s_own_space(volume_run: VolumeRun, turned: Path):
    masks = volume_run.folder / "output" / "masks"
    volume_run.run("inference", method="coat", input_dir=str(turned))
    for name in ("turned", "plain", "spaced"):
        image = nibabel.load(turned / f"{name}.nii.gz")
        probs, inside, labels = (
            nibabel.load(masks / f"{name}_{kind}.nii.gz") for kind in ("probs", "coat", "certainty")
        )
        for result, channels, dtype in ((probs, (2,), "float32"), (inside, (2,), "uint8"), (labels, (), "uint8")):
            assert result.shape == (*image.shape, *channels)
            np.testing.assert_allclose(result.affine, image.affine, atol=1e-4)
            assert result.get_data_dtype() == dtype
        # The map holds the prediction set of each class, also where both are possible.
        decoded = CertaintyLabels.of_count(2).possible(torch.tensor(labels.get_fdata()))
        assert np.array_equal(decoded.movedim(0, -1).numpy(), inside.get_fdata() > 0)
        assert 0 <= probs.get_fdata().min() <= probs.get_fdata().max() <= 1
    for kind in ("probs", "coat", "certainty"):
        one, other = (nibabel.load(masks / f"{name}_{kind}.nii.gz") for name in ("turned", "plain"))
        upright = nibabel.as_closest_canonical(one)
        np.testing.assert_allclose(upright.affine, other.affine, atol=1e-4)
        np.testing.assert_allclose(upright.get_fdata(), other.get_fdata(), atol=1e-5)


def test_a_dicom_series_comes_back_as_a_dicom_segmentation(volume_run: VolumeRun, tmp_path: Path):
    """The same sets as of the same volume in NIfTI, which are read there by MONAI's labels and here by segments."""
    source = sorted((volume_run.folder / "data" / "synthetic" / "images").iterdir())[0]
    volume = nibabel.load(source).get_fdata()
    values = np.rint((volume - volume.min()) / np.ptp(volume) * 4000)
    made = Made((0, 1, 0), (0, 0, -1), 1.0, 1.25, 1.5, reversed_names=True)  # sagittal
    series = DicomSeries.of(made.write(tmp_path / "studies" / "1.2.840.10", values))
    nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), series.affine), tmp_path / "studies" / "same.nii.gz")
    volume_run.run("inference", method="meg", input_dir=str(tmp_path / "studies"), masks_dir=str(tmp_path / "masks"))
    names = {path.name for path in (tmp_path / "masks").iterdir()}
    assert names == {
        "1.2.840.10_seg.dcm",
        *(f"{name}_{kind}.nii.gz" for name in ("1.2.840.10", "same") for kind in ("probs", "meg", "certainty")),
    }
    labels, other = (nibabel.load(tmp_path / "masks" / f"{name}_certainty.nii.gz") for name in ("1.2.840.10", "same"))
    assert np.array_equal(labels.dataobj, other.dataobj)
    assert np.allclose(labels.affine, series.affine, atol=1e-4)
    names_of = CertaintyLabels.of_count(2)
    possible, certain = (of(torch.tensor(labels.get_fdata())) for of in (names_of.possible, names_of.certain))
    read = highdicom.seg.segread(tmp_path / "masks" / "1.2.840.10_seg.dcm")
    segments = np.zeros((4, *volume.shape), dtype=bool)
    at = {tuple(np.round(made.position(place), 4)): place for place in range(volume.shape[2])}
    for number, places, frame in frames_of(read):
        segments[number - 1, :, :, at[tuple(np.round(places[0, 0], 4))]] = frame.T
    assert np.array_equal(segments[0::2], possible.numpy())
    assert np.array_equal(segments[1::2], certain.numpy())
    assert segments[0::2].any()
    said = [segment.SegmentDescription for segment in read.SegmentSequence]
    calibration = load_calibration(volume_run.folder / "models" / "calibration_meg.json")
    assert read.SegmentSequence[0].SegmentLabel == "anterior possible"
    assert all(calibration.guarantee in text for text in said[0::2])


def messages_of(act: Callable[[], object]) -> list[str]:
    """What an error and its causes say."""
    with pytest.raises((ValueError, RuntimeError)) as caught:
        act()
    error: BaseException | None = caught.value
    messages = []
    while error is not None:
        messages.append(str(error))
        error = error.__cause__
    return messages


def break_label(path: Path, kind: str) -> str:
    volume = nibabel.load(path)
    labels = np.asarray(volume.dataobj)
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-50])
        return "label must be a readable image"
    if kind == "shape":
        nibabel.save(nibabel.Nifti1Image(labels[:-2], volume.affine), path)
        return "volumes of an image must have one size"
    nibabel.save(nibabel.Nifti1Image(np.where(labels > 0, 7, 0).astype(np.uint8), volume.affine), path)
    return "label must hold 0 and 1, 2, got 7"


@pytest.mark.parametrize("kind", ["shape", "value", "truncated"])
def test_a_wrong_label_is_named_before_training(tmp_path: Path, kind: str):
    write_synthetic_dataset(tmp_path / "data", count=30, spatial_size=(16, 16, 16), classes=2)
    run = VolumeRun(tmp_path, HIPPOCAMPUS)
    parser = run.workflow("train").parser
    sample = parser.get_parsed_content("split")[0][0]
    message = break_label(Path(sample["label"]), kind)
    messages = messages_of(lambda: run.run("train"))
    assert any(message in each for each in messages), messages


def test_a_truncated_volume_is_named_before_any_is_predicted(volume_run: VolumeRun, turned: Path, tmp_path: Path):
    shutil.copy(turned / "plain.nii.gz", tmp_path / "a.nii.gz")
    whole = (turned / "plain.nii.gz").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(whole[: len(whole) // 3])
    messages = messages_of(
        lambda: volume_run.run("inference", method="coat", input_dir=str(tmp_path), masks_dir=str(tmp_path / "masks"))
    )
    assert any("image must be a readable image" in each and "cut.nii.gz" in each for each in messages), messages
    assert not (tmp_path / "masks").exists()


def test_a_class_that_no_calibration_volume_has_gets_no_promise(volume_run: VolumeRun, tmp_path: Path):
    models = volume_run.folder / "models"
    for name in ("segmenter.pt", "scorer_coat.pt", "partition.json"):
        (tmp_path / name).write_bytes((models / name).read_bytes())
    one_class = [
        {"_target_": "LoadImaged", "keys": "label", "ensure_channel_first": True},
        {"_target_": "Lambdad", "keys": "label", "func": "$lambda label: torch.cat([(label > 0).float(), 0 * label])"},
    ]
    volume_run.run("calibrate", method="coat", model_dir=str(tmp_path), label_transforms=one_class)
    for name, outcome in (("calibration", "everything"), ("certain", "empty")):
        result = load_calibration(tmp_path / f"{name}_coat.json")
        assert result.promised == (True, False)
        assert f"no promise about 'posterior', whose set is {outcome}: 0 of the" in result.guarantee


def test_the_base_and_the_bundle_are_merged():
    configs = HIPPOCAMPUS / "configs"
    train, thresholds = (json.loads((configs / f"{step}.json").read_text()) for step in ("train", "train_thresholds"))
    assert train["segmenter"]["spatial_dims"] == 3
    assert train["loss"]["_target_"] == "DiceFocalLoss"
    assert thresholds["train_module"]["_target_"].endswith(".SketchMargins")
    assert thresholds["loss"] == "$@losses[@method]"  # of the base


def test_the_network_takes_what_the_metadata_says(volume_run: VolumeRun):
    workflow: ConfigWorkflow = volume_run.workflow("inference", method="coat")
    metadata = json.loads((HIPPOCAMPUS / "configs" / "metadata.json").read_text())["network_data_format"]
    network = workflow.parser.get_parsed_content("network_def").eval()
    with torch.no_grad():
        scores = network(torch.rand(1, metadata["inputs"]["image"]["num_channels"], 16, 24, 32))
    assert scores.shape == (1, metadata["outputs"]["pred"]["num_channels"], 16, 24, 32)
