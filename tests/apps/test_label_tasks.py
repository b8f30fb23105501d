# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the Label app answers and keeps about classes that touch or nest, without a server around it."""

from __future__ import annotations

import json
import logging
import math
import shutil
from pathlib import Path
from xml.etree import ElementTree

import nibabel
import numpy as np
import pytest
import torch

pytest.importorskip("monailabel", reason="MONAI Label is not installed; make label-test has an environment with it")

import nrrd
from monai.data import MetaTensor
from PIL import Image

from monai_coat.apps import CalibratedBundle
from monai_coat.apps.label.active_learning import AmbiguityScoring
from monai_coat.apps.label.app import _whole_number
from monai_coat.apps.label.drift import ServedDrift
from monai_coat.apps.label.infer_task import CertaintyInferTask, write_labels
from monai_coat.apps.label.polygons import write_polygons
from monai_coat.calibration import DriftWatch, load_calibration, promise_in_words, share_of_level
from monai_coat.transforms import CertaintyLabels
from tests.bundles.conftest import HIPPOCAMPUS, TwoClassRun, nested_run, touching_run
from tests.bundles.test_promises import GUARANTEES, SAMPLES

__all__ = ["nested_run", "touching_run"]
CLASSES = ("anterior", "posterior")
both_kinds = pytest.mark.parametrize("fixture", ["touching_run", "nested_run"])


def served_of(run: TwoClassRun) -> CalibratedBundle:
    return CalibratedBundle(HIPPOCAMPUS, [run.folder / "models"], "crc", overrides=run.overrides())


def read(path: str) -> np.ndarray:
    """The labels of a file in the order of axes of the image."""
    if path.endswith(".nrrd"):
        return nrrd.read(path)[0].squeeze()
    if path.endswith(".png"):
        with Image.open(path) as image:
            return np.asarray(image).T
    return np.asarray(nibabel.load(path).dataobj).squeeze()


@both_kinds
@pytest.mark.parametrize("extension", [".nii.gz", ".nii", ".nrrd"])
def test_the_file_holds_the_sets_that_were_calibrated(request, fixture, extension):
    """Over the calibration volumes the answer misses what the artifact says, to the voxel."""
    run: TwoClassRun = request.getfixturevalue(fixture)
    served = served_of(run)
    task, labels, missed, several = CertaintyInferTask(served), CertaintyLabels(CLASSES), [], 0
    for sample in run.workflow("calibrate").parser.get_parsed_content("samples"):
        path, result = task({"image": sample["image"], "result_extension": extension, "result_dtype": "uint8"})
        assert result["label_names"] == labels.values
        possible = labels.possible(torch.from_numpy(read(path).astype(int))).numpy()
        Path(path).unlink()
        several += int((possible.sum(0) > 1).sum())
        truth = run.truth(np.asarray(nibabel.load(sample["label"]).dataobj))
        missed.append((truth & ~possible).sum((1, 2, 3)) / truth.sum((1, 2, 3)))
    assert several > 100
    np.testing.assert_allclose(np.mean(missed, 0), served.calibration().risk, rtol=1e-12)


@pytest.mark.parametrize("name", ["confident", "growing", "per group", "referring"])
def test_the_answer_says_which_promise_it_keeps(touching_run: TwoClassRun, tmp_path, name):
    shutil.copy(touching_run.folder / "models/segmenter.pt", tmp_path)
    shutil.copy(touching_run.folder / "models/partition.json", tmp_path)
    promise = {"guarantee": GUARANTEES[name], "alpha": 0.5, "certain_alpha": 0.5, "samples": SAMPLES}
    touching_run.run("calibrate", model_dir=str(tmp_path), **promise)
    served = CalibratedBundle(HIPPOCAMPUS, [tmp_path], "crc", overrides=touching_run.overrides())
    task, result = CertaintyInferTask(served), load_calibration(tmp_path / "calibration_crc.json")
    decisions = []
    for sample in touching_run.workflow("calibrate").parser.get_parsed_content("samples"):
        path, answer = task({"image": sample["image"]})
        assert answer["guarantee"] == result.guarantee
        assert answer["in_words"] == promise_in_words(result)
        possible = served.certainty.possible(torch.from_numpy(read(path).astype(int)))
        Path(path).unlink()
        decisions.append(answer.get("decision"))
        if result.referral is not None:
            shares = possible.flatten(1).double().mean(1).tolist()
            large = any(share > limit for share, limit in zip(shares, result.referral.sizes, strict=True))
            assert large == any("of the image" in why for why in answer["why"])
    assert set(decisions) <= ({"refer", "accept"} if name == "referring" else {None})


@pytest.mark.filterwarnings("ignore:.*pixdim")  # by MONAI, of headers that contradict themselves
@pytest.mark.parametrize("extension", [".nii.gz", ".nii"])
def test_the_file_has_both_forms_of_the_image(touching_run, tmp_path, extension):
    """A viewer that goes by the qform and one that goes by the sform both show the answer over the image."""
    image = nibabel.Nifti1Image(np.random.default_rng(0).random((16, 24, 16), np.float32), None)
    image.set_sform(np.diag([-1.0, 1.0, 1.0, 1.0]), 1)
    turned = [[0.0, -1.0, 0.0, 5.0], [1.0, 0.0, 0.0, 2.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    image.set_qform(np.array(turned), 2)
    nibabel.save(image, tmp_path / "image.nii.gz")
    request = {"image": str(tmp_path / "image.nii.gz"), "result_extension": extension}
    path, _ = CertaintyInferTask(served_of(touching_run))(request)
    labels = nibabel.load(path)
    for form in ("sform", "qform"):
        (expected, code), (got, got_code) = (getattr(file, f"get_{form}")(coded=True) for file in (image, labels))
        assert got_code == code
        np.testing.assert_allclose(got, expected, atol=1e-5)
    assert labels.shape == image.shape
    Path(path).unlink()


@pytest.mark.parametrize(("count", "bits"), [(5, 8), (6, 32), (10, 32)])
@pytest.mark.parametrize("extension", [".nii.gz", ".nii", ".nrrd", ".png"])
def test_every_label_survives_its_file(count: int, bits: int, extension: str):
    labels = CertaintyLabels.of_count(count)
    size = (61, 40) if extension == ".png" else (61, 40, 8)
    values = torch.arange(math.prod(size)).reshape(1, *size) % len(labels.states)
    values[..., -1] = len(labels.states) - 1
    path = write_labels(MetaTensor(values.to(labels.dtype), affine=torch.eye(4)), extension)
    found = read(path)
    Path(path).unlink()
    assert np.array_equal(found, values[0].numpy())
    assert found.dtype.itemsize * 8 == (16 if bits == 32 and extension == ".png" else bits)


def test_outlines_are_those_of_each_class_where_classes_nest_and_touch(tmp_path):
    """Rectangles: b is certain in the middle of a, and both are possible in a stripe."""
    labels = CertaintyLabels(("a", "b"))
    possible, certain = torch.zeros(2, 40, 30, dtype=bool), torch.zeros(2, 40, 30, dtype=bool)
    possible[0, 5:35, 5:25] = certain[0, 5:30, 5:25] = True
    possible[1, 10:38, 8:20] = certain[1, 12:20, 10:18] = True
    for kind in ("asap", "dsa"):
        path, _ = write_polygons(labels.encode(possible, certain), labels, {}, {"output": kind})
        text = Path(path).read_text()
        Path(path).unlink()
        if kind == "dsa":
            names = {element["label"]["value"] for element in json.loads(text)["elements"]}
        else:
            names = {annotation.get("Name") for annotation in ElementTree.fromstring(text).iter("Annotation")}
            spans = {}
            for annotation in ElementTree.fromstring(text).iter("Annotation"):
                points = [(float(p.get("X")), float(p.get("Y"))) for p in annotation.iter("Coordinate")]
                spans.setdefault(annotation.get("Name"), []).extend(points)
        assert names == {"a certain", "a possible", "b certain", "b possible"}
    # Outlines run half-way between pixels; what is possible of b reaches over the end of a.
    for name, low, high in (
        ("a certain", (4.5, 4.5), (29.5, 24.5)),
        ("a possible", (29.5, 4.5), (34.5, 24.5)),
        ("b certain", (11.5, 9.5), (19.5, 17.5)),
        ("b possible", (9.5, 7.5), (37.5, 19.5)),
    ):
        points = np.array(spans[name])
        np.testing.assert_allclose([points.min(0), points.max(0)], [low, high], atol=0.5)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "", "1e6"])
def test_limits_are_positive_whole_numbers(text: str):
    assert _whole_number({}, "max_voxels", 7) == 7
    assert _whole_number({"max_voxels": "20"}, "max_voxels", 7) == 20
    with pytest.raises(
        ValueError, match=r"--conf max_voxels must be a positive whole number, got .*; leave it out for 7"
    ):
        _whole_number({"max_voxels": text}, "max_voxels", 7)


class Datastore:
    """As much of MONAI Label's datastore as the app's parts look at: images of a folder, and annotations in another."""

    def __init__(self, images: Path, labels: Path) -> None:
        self.images, self.labels, self.info = images, labels, {}

    def get_unlabeled_images(self) -> list[str]:
        return sorted(path.name.removesuffix(".nii.gz") for path in self.images.iterdir())[:3]

    def get_image_uri(self, image: str) -> str:
        return str(self.images / f"{image}.nii.gz")

    def get_label_uri(self, image: str, tag: str) -> str:
        return str(self.labels / f"{image}.nii.gz")

    def get_image_info(self, image: str) -> dict[str, object]:
        return self.info.get(image, {})

    def update_image_info(self, image: str, info: dict[str, object]) -> None:
        self.info[image] = {**self.get_image_info(image), **info}


@both_kinds
def test_ambiguity_is_the_share_of_the_sets_that_is_not_certain(request, fixture):
    run: TwoClassRun = request.getfixturevalue(fixture)
    served, store = served_of(run), Datastore(run.folder / "images", run.folder / "labels")
    scores = AmbiguityScoring(served)({}, store)["scores"]
    assert len(scores) == 3
    for image, score in scores.items():
        labels = served.predict(store.get_image_uri(image)).labels[0]
        possible, certain = (int(part(labels).sum()) for part in (served.certainty.possible, served.certainty.certain))
        assert score == pytest.approx((possible - certain) / possible)
        assert store.info[image]["ambiguity"] == score


@pytest.fixture
def finals(tmp_path: Path):
    """Write what annotators leave of a run's volumes; where classes nest, both at a voxel."""

    def write(run: TwoClassRun) -> Datastore:
        folder = tmp_path / "finals"
        folder.mkdir()
        for path in (run.folder / "labels").iterdir():
            masks = run.truth(np.asarray(nibabel.load(path).dataobj))
            values = np.select([masks.all(0), masks[0], masks[1]], [8, 1, 3]).astype(np.uint8)
            nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / path.name)
        return Datastore(run.folder / "images", folder)

    return write


@both_kinds
def test_the_record_holds_the_risk_of_the_sets_and_the_report_is_the_watch_s_own(request, fixture, finals, tmp_path):
    run: TwoClassRun = request.getfixturevalue(fixture)
    served, store = served_of(run), finals(run)
    drift = ServedDrift(served, tmp_path, 0.05)
    samples = run.workflow("calibrate").parser.get_parsed_content("samples")
    names = [Path(sample["image"]).name.removesuffix(".nii.gz") for sample in samples]
    for name in names:
        drift.annotated(store, name)
    recorded = [next(iter(drift.risks[name].values())) for name in names]
    # The images are those of the calibration here, so that their mean risk is the artifact's.
    for index, name in enumerate(CLASSES):
        risks = [risks[name] for risks in recorded]
        assert np.mean(risks) == pytest.approx(served.calibration().risk[index])
        level = 0.05 / 2 / 2  # two classes, and half of it for the first calibration
        watch = DriftWatch(0.2, served.calibration().n[index], level, risks)
        report = drift.report()["promises"]["0.2"][name]
        assert report == {
            "n": len(names),
            "evidence": round(watch.evidence, 4),
            "enough": 160.0,
            "broken": False,
            "notices_above": round(watch.bound, 4),
        }
    assert drift.report()["level"] == 0.05


class Served:
    """A bundle of one class whose calibrations can be exchanged; it predicts nothing."""

    def __init__(self, *alphas: float) -> None:
        self.alphas, self.method, self.classes, self.made = alphas, "crc", ("a", "b"), dict.fromkeys(alphas, 0)

    def calibration(self, alpha: float):
        from monai_coat.calibration import CalibrationResult, PipelineIdentity

        identity = PipelineIdentity({"weights": f"{alpha} {self.made[alpha]}"})
        return CalibrationResult((0.5,) * 2, alpha, (50,) * 2, (0,) * 2, (0.0,) * 2, "", identity=identity)


def shares(drift: ServedDrift) -> list[float]:
    return [drift._level(alpha) / drift.level for alpha in drift.served.alphas]


def annotate(drift: ServedDrift, risk: float = 0.0, times: int = 1) -> None:
    for _ in range(times):
        promises = {drift._promise(alpha): {"a": risk, "b": None} for alpha in drift.served.alphas}
        drift.risks[f"image_{len(drift.risks)}"] = promises


def test_shares_of_the_level_are_counted_over_calibrations_and_sum_to_less_than_the_level(tmp_path):
    drift = ServedDrift(Served(0.1, 0.2), tmp_path, 0.01)
    first = [1 / 2 / 2, 1 / 6 / 2]  # 1 / ((k + 1) (k + 2)), for two classes
    assert shares(drift) == pytest.approx(first)
    annotate(drift)
    assert shares(drift) == pytest.approx(first)
    drift.served.made[0.2] = 1
    assert shares(drift) == pytest.approx([first[0], 1 / 12 / 2])
    drift.served.made[0.2] = 2  # nobody had annotated under the one before: it has used nothing up
    assert shares(drift) == pytest.approx([first[0], 1 / 12 / 2])
    annotate(drift)
    drift.served.alphas, drift.served.made = (0.1, 0.2, 0.3), {0.1: 0, 0.2: 3, 0.3: 0}
    assert shares(drift) == pytest.approx([first[0], 1 / 20 / 2, 1 / 30 / 2])
    drift.served.made[0.2] = 0  # the first one is served again, and its test goes on
    assert shares(drift)[:2] == pytest.approx(first)
    assert drift.report()["promises"]["0.2"]["a"]["n"] == 1
    assert 2 * sum(share_of_level(1.0 - 1e-12, 2, k) for k in range(1000)) < 1


def test_a_broken_promise_is_said_with_numbers(tmp_path, caplog):
    drift = ServedDrift(Served(0.1), tmp_path, 0.01)
    annotate(drift, 0.9, 40)
    with caplog.at_level(logging.WARNING):
        drift._warn()
    (message,) = caplog.messages
    assert message.startswith("a at alpha=0.1: the mean FNR of new images is higher than chance in the calibration")
    assert "after 40 annotations, 800 was passed" in message  # 2 / (0.01 / 2 / 2)
    assert message.endswith("at most 0.01); calibrate anew")
    report = drift.report()["promises"]["0.1"]
    assert (report["a"]["broken"], report["b"]["broken"], report["b"]["n"]) == (True, False, 0)


def test_few_calibration_images_let_only_large_shifts_be_noticed(tmp_path):
    drift = ServedDrift(Served(0.1), tmp_path, 0.01)
    annotate(drift, 0.2, 500)  # twice what was promised, and still what 50 images may give by chance
    report = drift.report()["promises"]["0.1"]["a"]
    assert not report["broken"]
    assert 0.2 < report["notices_above"] < 0.35


def test_a_record_of_an_earlier_release_goes_on_with_a_new_test(tmp_path):
    old = {"scan": {"alpha 0.1, network 0123456789abcdef, cutoff 0.5, 0.5": {"a": 0.25, "b": None}}}
    path = tmp_path / ".monai_coat_drift_crc.json"
    path.write_text(json.dumps(old))
    drift = ServedDrift(Served(0.1), tmp_path, 0.01)
    assert drift.report()["promises"]["0.1"]["a"]["n"] == 0
    assert shares(drift) == pytest.approx([1 / 6 / 2])  # the test before has had its share
    assert "scan" in drift.risks  # and a second annotation of the image is no evidence


@pytest.mark.parametrize(
    "content",
    [{"scan": 0.5}, {"scan": {"alpha 0.1": 0.5}}, {"scan": {"alpha 0.1": {"a": 2}}}, {"s": {"p": {"a": "x"}}}],
)
def test_a_record_that_cannot_be_understood_is_refused_with_the_remedy(tmp_path, content):
    path = tmp_path / ".monai_coat_drift_crc.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"record of annotations must hold .*drift_crc.json; remove it to begin"):
        ServedDrift(Served(0.1), tmp_path, 0.01)
