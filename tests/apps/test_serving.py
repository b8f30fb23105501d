# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One image at a time: the answer is the bundle's own, and says what is promised."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from monai_coat.apps import CalibratedBundle, retrain, split_for_recalibration
from monai_coat.calibration import load_calibration
from tests.bundles.conftest import (
    HIPPOCAMPUS,
    BundleRun,
    TwoClassRun,
    VolumeRun,
    calibrated_run,
    data_run,
    nested_run,
    touching_run,
    volume_run,
)

__all__ = ["calibrated_run", "data_run", "nested_run", "touching_run", "volume_run"]
SMALL = {"image_size": [24, 24, 16], "roi_size": [16, 16, 16]}


@pytest.fixture(scope="module")
def two_levels(volume_run: VolumeRun, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of models of the levels 0.2 and 0.3."""
    other = tmp_path_factory.mktemp("models")
    for name in ("segmenter.pt", "scorer_coat.pt", "partition.json"):
        shutil.copy(volume_run.folder / "models" / name, other)
    volume_run.run("calibrate", method="coat", alpha=0.3, model_dir=str(other))
    return [volume_run.folder / "models", other]


def served(folders):
    return CalibratedBundle(HIPPOCAMPUS, folders, "coat", overrides=SMALL)


def test_the_labels_are_those_of_the_step_inference(volume_run: VolumeRun, two_levels, tmp_path):
    images = volume_run.folder / "data" / "synthetic" / "images"
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(images.iterdir())[:2]:
        shutil.copy(path, few)
    volume_run.run("inference", method="coat", input_dir=str(few), masks_dir=str(tmp_path / "masks"))
    bundle = served(two_levels)
    for path in sorted(few.iterdir()):
        prediction = bundle.predict(path)
        expected = nibabel.load(tmp_path / "masks" / path.name.replace(".nii.gz", "_certainty.nii.gz"))
        assert np.array_equal(prediction.labels[0].numpy(), np.asarray(expected.dataobj))
        np.testing.assert_allclose(prediction.labels.affine.numpy(), expected.affine)


def test_the_result_says_what_is_promised_and_fits_in_json(two_levels, volume_run: VolumeRun):
    bundle = served(two_levels)
    image = next((volume_run.folder / "data" / "synthetic" / "images").iterdir())
    prediction = bundle.predict(image, 0.3)
    result = json.loads(json.dumps(prediction.result))
    assert (result["alpha"], result["method"]) == (0.3, "coat")
    assert result["guarantee"] == load_calibration(two_levels[1] / "calibration_coat.json").guarantee
    assert result["n"] == list(load_calibration(two_levels[1] / "calibration_coat.json").n)
    assert len(result["thresholds"]) == 2
    single = ["anterior certain", "anterior possible", "posterior certain", "posterior possible"]
    both = [
        f"anterior {one}, posterior {other}" for one in ("certain", "possible") for other in ("certain", "possible")
    ]
    assert bundle.labels == {name: value for value, name in enumerate(single + both, start=1)}
    # A size is that of the set: voxels of combinations count in each of their classes.
    for name in single:
        values = [value for names, value in bundle.labels.items() if name in names.split(", ")]
        assert result["sizes"][name] == int(sum((prediction.labels == value).sum() for value in values)), name
    assert list(result["sizes"]) == single
    assert bundle.spatial_dims == 3


def test_levels_are_those_that_were_calibrated(two_levels, volume_run: VolumeRun):
    bundle = served(two_levels)
    image = next((volume_run.folder / "data" / "synthetic" / "images").iterdir())
    assert bundle.alphas == (0.2, 0.3)
    assert bundle.predict(image).result["alpha"] == 0.2
    with pytest.raises(ValueError, match=r"alpha must be a calibrated level, 0.2, 0.3, got 0.1; calibrate for it"):
        bundle.predict(image, 0.1)
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\), got 0"):
        bundle.predict(image, 0.0)
    with pytest.raises(ValueError, match="must be of different levels"):
        served(two_levels[:1] * 2)
    with pytest.raises(ValueError, match="at least one folder"):
        served([])


def test_a_network_that_changed_after_its_calibration_is_not_served(two_levels, tmp_path):
    for path in two_levels[0].iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    shutil.copy(two_levels[0] / "model_at.pt", tmp_path / "model_coat.pt")
    with pytest.raises(ValueError, match="calibration is of another pipeline: scorer weights;"):
        served([tmp_path])


def test_what_is_no_image_is_named(two_levels, tmp_path):
    (tmp_path / "text.nii.gz").write_text("no volume")
    with pytest.raises(ValueError, match=r"image must be a readable image, got .*text.nii.gz"):
        served(two_levels).predict(tmp_path / "text.nii.gz")


def test_what_the_network_does_not_take_is_said_by_size(two_levels, tmp_path):
    bundle = served(two_levels)
    for shape in ((20, 24), (20, 24, 16, 2), (20, 24, 16, 1)):
        nibabel.save(nibabel.Nifti1Image(np.ones(shape, np.float32), np.eye(4)), tmp_path / "a.nii")
        expected = rf"must have 3 axes and 1 channels, got .*a.nii of {' x '.join(map(str, shape))}; send"
        if shape[2:] != (16, 1):
            with pytest.raises(ValueError, match=expected):
                bundle.predict(tmp_path / "a.nii")
    Image.new("L", (20, 24)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"must have 3 axes and 1 channels, got .*a.png of 20 x 24"):
        bundle.predict(tmp_path / "a.png")


def test_no_more_is_taken_on_than_was_said(two_levels, volume_run: VolumeRun, tmp_path):
    image = next((volume_run.folder / "data" / "synthetic" / "images").iterdir())
    small = CalibratedBundle(HIPPOCAMPUS, two_levels[:1], "coat", overrides=SMALL, max_voxels=7679)
    with pytest.raises(ValueError, match=r"at most 7679 voxels, got 7680 \(20 x 24 x 16\)"):
        small.predict(image)
    half = nibabel.Nifti1Image(np.ones((10, 12, 8), np.float32), np.diag([4.0, 4.0, 4.0, 1]))
    nibabel.save(half, tmp_path / "coarse.nii")
    with pytest.raises(ValueError, match=r"at most 7679 voxels when it is resampled to 1 x 1 x 1 mm, got 48285"):
        small.predict(tmp_path / "coarse.nii")


def test_flat_images_too(calibrated_run: BundleRun):
    bundle = CalibratedBundle(
        calibrated_run.bundle, [calibrated_run.folder / "models"], overrides={"image_size": [64, 64]}
    )
    image = sorted((calibrated_run.folder / "data" / "synthetic" / "images").iterdir())[0]
    prediction = bundle.predict(image)
    with Image.open(image) as file:
        assert prediction.labels.shape[1:] == file.size
    assert (bundle.spatial_dims, bundle.labels) == (2, {"polyp certain": 1, "polyp possible": 2})


def test_names_decide_for_good_what_is_calibrated_on():
    names = [{"id": f"image_{i}"} for i in range(60)]
    learning, calibration = split_for_recalibration(names)
    more = split_for_recalibration([*reversed(names), {"id": "another"}])
    assert {each["id"] for each in calibration} <= {each["id"] for each in more[1]}
    assert not {each["id"] for each in learning} & {each["id"] for each in more[1]}


def two_classes(run: TwoClassRun, models: Path | None = None) -> CalibratedBundle:
    return CalibratedBundle(HIPPOCAMPUS, [models or run.folder / "models"], "crc", overrides=run.overrides())


@pytest.mark.parametrize("fixture", ["touching_run", "nested_run"])
def test_the_answer_holds_the_calibrated_sets_of_classes_that_share_voxels(request, fixture, tmp_path):
    run: TwoClassRun = request.getfixturevalue(fixture)
    samples = run.workflow("calibrate").parser.get_parsed_content("samples")
    images = [{"image": sample["image"]} for sample in samples]
    run.run("inference", samples=images, masks_dir=str(tmp_path), label_transforms=[])
    bundle, missed, several = two_classes(run), [], 0
    for sample in samples:
        prediction = bundle.predict(sample["image"])
        name = Path(sample["image"]).name.removesuffix(".nii.gz")
        in_file = np.asarray(nibabel.load(tmp_path / f"{name}_certainty.nii.gz").dataobj)
        assert np.array_equal(prediction.labels[0].numpy(), in_file)
        possible = bundle.certainty.possible(prediction.labels[0]).numpy()
        several += int((possible.sum(0) > 1).sum())
        truth = run.truth(np.asarray(nibabel.load(sample["label"]).dataobj))
        missed.append((truth & ~possible).sum((1, 2, 3)) / truth.sum((1, 2, 3)))
        certain = bundle.certainty.certain(prediction.labels[0]).numpy()
        sizes = [size for one in zip(certain, possible & ~certain, strict=True) for size in map(np.count_nonzero, one)]
        assert list(prediction.result["sizes"].values()) == sizes
    assert several > 100
    np.testing.assert_allclose(np.mean(missed, 0), bundle.calibration().risk, rtol=1e-12)


def annotated(run: TwoClassRun, folder: Path) -> list[dict[str, object]]:
    """All volumes with the labels that an annotator leaves: one class, or both where one is a part of the other."""
    folder.mkdir()
    samples = []
    for path in sorted((run.folder / "labels").iterdir()):
        label = nibabel.load(path)
        masks = run.truth(np.asarray(label.dataobj))
        values = np.select([masks.all(0), masks[0], masks[1]], [8, 2, 3]).astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(values, label.affine), folder / path.name)
        name = path.name.removesuffix(".nii.gz")
        samples.append({"id": name, "image": run.folder / "images" / path.name, "label": folder / path.name})
    return samples


@pytest.mark.parametrize("fixture", ["touching_run", "nested_run"])
def test_annotations_of_classes_that_touch_or_nest_are_calibrated_on_as_they_are(request, fixture, tmp_path):
    """The cutoffs are those of the bundle's own step on the bundle's own labels of the same volumes."""
    run: TwoClassRun = request.getfixturevalue(fixture)
    models = Path(shutil.copytree(run.folder / "models", tmp_path / "models"))
    samples = annotated(run, tmp_path / "finals")
    result = retrain(two_classes(run, models), samples)
    new = load_calibration(models / "retrained" / result["models"] / "calibration_crc.json")
    calibration = [
        {"id": sample["id"], "image": str(sample["image"]), "label": str(run.folder / "labels" / sample["image"].name)}
        for sample in split_for_recalibration(samples)[1]
    ]
    run.run("calibrate", samples=calibration, model_dir=str(models))
    assert new == load_calibration(models / "calibration_crc.json")
    assert new.n == (len(calibration),) * 2


def test_retraining_for_another_promise_than_the_served_one_is_refused(touching_run: TwoClassRun, tmp_path):
    models = Path(shutil.copytree(touching_run.folder / "models", tmp_path / "models"))
    served = two_classes(touching_run, models)
    served.settings["guarantee#risk#_target_"] = "monai_coat.calibration.WorstClassFalseNegativeRate"
    with pytest.raises(ValueError, match="for the promise that is served, expected_risk of false_negative_rate, got"):
        retrain(served, annotated(touching_run, tmp_path / "finals"))
    assert not (models / "retrained" / "current.txt").exists()


def test_a_question_that_an_annotator_left_open_is_no_annotation(touching_run: TwoClassRun, tmp_path):
    models = Path(shutil.copytree(touching_run.folder / "models", tmp_path / "models"))
    samples = annotated(touching_run, tmp_path / "finals")
    label = nibabel.load(samples[3]["label"])
    values = np.asarray(label.dataobj).copy()
    values[0, 0, :3] = 8
    nibabel.save(nibabel.Nifti1Image(values, label.affine), samples[3]["label"])
    with pytest.raises(
        ValueError, match=r"bar_03.*got 'anterior possible, posterior possible' in one of 3 voxels.*decide"
    ):
        retrain(two_classes(touching_run, models), samples)
    assert not (models / "retrained" / "current.txt").exists()


def test_annotations_of_flat_images_are_calibrated_on_as_they_are(calibrated_run: BundleRun, tmp_path):
    models = Path(shutil.copytree(calibrated_run.folder / "models", tmp_path / "models"))
    data, samples = calibrated_run.folder / "data" / "synthetic", []
    (tmp_path / "finals").mkdir()
    for path in sorted((data / "masks").iterdir()):
        with Image.open(path) as mask:
            values = 2 * (np.asarray(mask) > 0)
        values[: values.shape[0] // 2] //= 2  # certain above, possible below: both are the class
        Image.fromarray(values.astype(np.uint8)).save(tmp_path / "finals" / path.name)
        samples.append(
            {"id": path.stem, "image": data / "images" / path.name, "label": tmp_path / "finals" / path.name}
        )
    bundle = CalibratedBundle(calibrated_run.bundle, [models], "coat", overrides={"image_size": [64, 64]})
    result = retrain(bundle, samples, max_epochs=1)
    folder = models / "retrained" / result["models"]
    calibration = [
        {"id": sample["id"], "image": str(sample["image"]), "label": str(data / "masks" / sample["image"].name)}
        for sample in split_for_recalibration(samples)[1]
    ]
    shutil.copy(folder / "scorer_coat.pt", models)
    calibrated_run.run("calibrate", method="coat", samples=calibration, model_dir=str(models))
    assert load_calibration(folder / "calibration_coat.json") == load_calibration(models / "calibration_coat.json")


@pytest.mark.parametrize("method", ["coat", "meg"])
def test_annotations_give_new_thresholds_calibrated_on_others(volume_run: VolumeRun, tmp_path, method):
    for path in (volume_run.folder / "models").iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    data = volume_run.folder / "data" / "synthetic"
    samples = []
    for path in sorted((data / "images").iterdir()):
        label = nibabel.load(data / "labels" / path.name)
        final = tmp_path / "finals" / path.name
        final.parent.mkdir(exist_ok=True)
        # As a viewer gives it: 1 and 2 the first class, 3 and 4 the second.
        nibabel.save(nibabel.Nifti1Image(2 * np.asarray(label.dataobj).astype(np.uint8), label.affine), final)
        samples.append({"id": path.name.removesuffix(".nii.gz"), "image": path, "label": final})
    bundle, other = (CalibratedBundle(HIPPOCAMPUS, [tmp_path], method, overrides=SMALL) for _ in range(2))
    before = bundle.predict(samples[0]["image"])
    for name in ("007", "008 (kept)"):  # of an earlier training, and of a person
        (tmp_path / "retrained" / name).mkdir(parents=True)
    result = json.loads(json.dumps(retrain(bundle, samples, max_epochs=2)))
    learning, calibration = split_for_recalibration(samples)
    assert (result["learned_from"], result["calibrated_on"]) == (len(learning), [len(calibration)] * 2)
    assert result["models"] == "008"
    folder = tmp_path / "retrained" / result["models"]
    assert load_calibration(folder / f"calibration_{method}.json").n == (len(calibration),) * 2
    for each in (bundle, other):
        each.refresh()
        assert each.predict(samples[0]["image"]).result["n"] == [len(calibration)] * 2
    assert before.result["n"] != [len(calibration)] * 2
    again = CalibratedBundle(HIPPOCAMPUS, [tmp_path], method, overrides=SMALL)
    assert again.predict(samples[0]["image"]).result == bundle.predict(samples[0]["image"]).result


def test_annotations_in_another_order_of_axes_are_calibrated_on_as_they_lie(volume_run: VolumeRun, tmp_path):
    """Every one is stored in an order and directions of its own, with the affine that says so."""
    data, results, moved = volume_run.folder / "data" / "synthetic", [], 0
    for kind in ("straight", "turned"):
        models = Path(
            shutil.copytree(
                volume_run.folder / "models", tmp_path / kind / "models", ignore=shutil.ignore_patterns("retrained")
            )
        )
        samples = []
        for number, path in enumerate(sorted((data / "images").iterdir())):
            label = nibabel.load(data / "labels" / path.name)
            final = nibabel.Nifti1Image(2 * np.asarray(label.dataobj).astype(np.uint8), label.affine)
            if kind == "turned":
                codes = ("LPS", "SAR", "PIR", "IRP")[number % 4]
                final = final.as_reoriented(nibabel.orientations.axcodes2ornt(codes))
                moved += final.shape != label.shape
            nibabel.save(final, tmp_path / kind / path.name)
            samples.append({"id": path.stem, "image": path, "label": tmp_path / kind / path.name})
        result = retrain(CalibratedBundle(HIPPOCAMPUS, [models], "crc", overrides=SMALL), samples)
        results.append(load_calibration(models / "retrained" / result["models"] / "calibration_crc.json"))
    assert moved > 20
    assert results[0] == results[1]


@pytest.mark.parametrize("content", [b"", b"no label", b"\x1f\x8b cut", "small", "negative", "nan", "beyond"])
def test_an_annotation_that_cannot_be_used_is_named_and_leaves_nothing(volume_run: VolumeRun, tmp_path, content):
    models = Path(
        shutil.copytree(volume_run.folder / "models", tmp_path / "m", ignore=shutil.ignore_patterns("retrained"))
    )
    data, samples = volume_run.folder / "data" / "synthetic", []
    for path in sorted((data / "images").iterdir()):
        samples.append({"id": path.stem, "image": path, "label": data / "labels" / path.name})
    values = {"small": np.zeros((3, 4, 5)), "negative": np.full((20, 24, 16), -3), "beyond": np.full((20, 24, 16), 9)}
    values["nan"] = np.full((20, 24, 16), np.nan)
    bad = tmp_path / "bad.nii.gz"
    if isinstance(content, bytes):
        bad.write_bytes(content)
    else:
        nibabel.save(nibabel.Nifti1Image(values[content].astype(np.float32), np.eye(4)), bad)
    samples[7] = {**samples[7], "label": bad}
    before = {path.name: path.read_bytes() for path in models.iterdir() if path.is_file()}
    bundle = CalibratedBundle(HIPPOCAMPUS, [models], "crc", overrides=SMALL)
    with pytest.raises(ValueError, match=r"annotation of synthetic_0007.nii cannot be used: .*bad.nii.gz.*then\."):
        retrain(bundle, samples)
    assert {path.name: path.read_bytes() for path in models.rglob("*") if path.is_file()} == before


def test_a_retraining_that_fails_says_why_and_leaves_no_half_made_models(volume_run: VolumeRun, tmp_path, monkeypatch):
    models = Path(
        shutil.copytree(volume_run.folder / "models", tmp_path / "m", ignore=shutil.ignore_patterns("retrained"))
    )
    data, samples = volume_run.folder / "data" / "synthetic", []
    for path in sorted((data / "images").iterdir()):  # whose values 1 and 2 both mean the first class here
        samples.append({"id": path.stem, "image": path, "label": data / "labels" / path.name})
    bundle = CalibratedBundle(HIPPOCAMPUS, [models], "crc", overrides=SMALL)
    with pytest.raises(
        ValueError, match=r"enough images of each class, got: .*no promise about 'posterior'.*: 0 of the 4"
    ):
        retrain(bundle, samples)
    assert [path.name for path in (models / "retrained").iterdir()] == [".lock"]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy", full)
    with pytest.raises(OSError, match="No space"):
        retrain(bundle, samples)
    assert [path.name for path in (models / "retrained").iterdir()] == [".lock"]


def test_too_few_annotations_change_nothing(volume_run: VolumeRun, two_levels):
    bundle = served(two_levels)
    with pytest.raises(ValueError, match=r"at least 10 images to learn from and 4 to calibrate on .*, got \d and \d"):
        retrain(bundle, [{"id": str(i), "image": "a", "label": "b"} for i in range(8)])
    assert not (two_levels[0] / "retrained").exists()
