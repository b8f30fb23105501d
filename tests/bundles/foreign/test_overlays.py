# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Overlays over five bundles of the model zoo's kind: all steps run, and what is promised holds on test images."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from monai_coat.calibration import load_calibration
from monai_coat.cli import main
from monai_coat.files import read_json
from monai_coat.report import load_records
from tests.bundles.foreign.conftest import ALPHA, ZooBundle
from tests.bundles.foreign.zoo import AFFINE, HELD_OUT, SIZE, ZOO

pytestmark = pytest.mark.bundle
CLASSES = {"spleen": 1, "brats": 3, "endoscopic": 1, "whole_body": 104, "pancreas": 2}
METRICS = {
    "spleen": {"val_mean_dice", "val_accuracy"},
    "brats": {"val_mean_dice", "val_mean_dice_tc", "val_mean_dice_wt", "val_mean_dice_et"},
    "endoscopic": {"val_iou", "val_mean_dice"},
    "whole_body": {"val_mean_dice"},
    "pancreas": {"val_mean_dice", "val_accuracy"},
}
PRESENT = {"brats": [0, 1, 2], "whole_body": [2, 103], "pancreas": [0, 1]}
SIGMAS = 3


@contextmanager
def refused(words: str) -> Iterator[None]:
    """An error with these words, in the chain that MONAI makes of errors in configs."""
    with pytest.raises((RuntimeError, ValueError)) as caught:
        yield
    error: BaseException | None = caught.value
    chain = []
    while error is not None:
        chain.append(str(error))
        error = error.__cause__
    assert re.search(words, "\n".join(chain)), chain


@pytest.fixture(scope="module", params=list(ZOO))
def calibrated(request: pytest.FixtureRequest, zoo_bundle: Callable[[str], ZooBundle]) -> ZooBundle:
    """A bundle after the three commands for one threshold per class."""
    bundle = zoo_bundle(request.param)
    own = {path.name: path.read_bytes() for path in (bundle.folder / "configs").iterdir()}
    bundle.overlay()
    for step in ("calibrate", "evaluate", "inference"):
        bundle.run(step)
    assert all((bundle.folder / "configs" / name).read_bytes() == content for name, content in own.items())
    return bundle


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def rows_of(bundle: ZooBundle, method: str = "crc") -> dict[str, dict[str, float]]:
    """The table of the evaluation, by class."""
    with (bundle.folder / "eval" / f"coat_{method}" / "table.csv").open() as file:
        return {row.pop("method"): {k: float(v) for k, v in row.items()} for row in csv.DictReader(file)}


def chance(row: dict[str, float], count: int) -> float:
    """How far the mean of test images may fall below its expectation: theirs and the calibration's standard errors."""
    return SIGMAS * row["marginal_se"] * math.sqrt(1 + row["n"] / count)


def test_each_class_is_covered_as_promised(calibrated):
    calibration = load_calibration(calibrated.folder / "models" / "coat_calibration_crc.json")
    rows, names = rows_of(calibrated), list(ZOO[calibrated.name]().channels)
    shown = [name.replace(" ", "_") for name in names][len(names) - CLASSES[calibrated.name] :]
    promised = {name: n for name, n, kept in zip(shown, calibration.n, calibration.promised, strict=True) if kept}
    assert promised
    assert set(promised) <= set(rows)
    for name, count in promised.items():
        assert rows[name]["marginal_coverage"] >= 1 - ALPHA - chance(rows[name], count), name
        # Neither by taking everything, nor by chance: sets are no larger than twice the object.
        assert rows[name]["relative_size_median"] < 2, name


def test_calibration_and_test_images_are_half_of_what_was_not_trained_on(calibrated):
    parts = read_json(calibrated.folder / "models" / "coat_parts_crc.json", "parts", "")["parts"]
    assert [len(parts[name]) for name in ("base_train", "threshold_train", "calibration", "test")] == [0, 0, 20, 20]
    assert not set(parts["calibration"]) & set(parts["test"])
    records = load_records(calibrated.folder / "eval" / "coat_crc" / "records.csv")
    assert len({record.name.partition(":")[0] for record in records}) == HELD_OUT / 2


def test_the_calibration_belongs_to_the_bundle_s_network_and_pipeline(calibrated):
    identity = load_calibration(calibrated.folder / "models" / "coat_calibration_crc.json").identity
    assert {"segmenter weights", "segmenter layers", "activation"} <= set(identity.network)
    assert set(identity.pipeline) == {"preprocessing", "inferer", "restore"}


def test_the_bundle_s_own_metrics_are_of_the_prediction_sets(calibrated):
    with (calibrated.folder / "eval" / "coat_crc" / "metrics.csv").open() as file:
        found = {name: float(value) for name, value in csv.reader(file)}
    assert set(found) == METRICS[calibrated.name]
    assert all(0.2 < value < 1 for value in found.values())


def test_sets_are_written_on_the_grid_of_their_image(calibrated):
    folder, classes = calibrated.folder / "eval", CLASSES[calibrated.name]
    if calibrated.name == "endoscopic":
        source = pixels(next((calibrated.data / "test").glob("video_9/frame_000.jpg")))
        found = pixels(folder / "video_9" / "frame_000_crc.png")
        assert found.shape == source.shape[:2]
        assert set(np.unique(found)) == {0, 255}
        return
    sets = sorted(folder.rglob("*_crc.nii.gz"))
    assert len(sets) == 2
    written = nibabel.load(sets[0])
    assert written.shape == (SIZE if classes == 1 else (*SIZE, classes))
    np.testing.assert_allclose(written.affine, AFFINE, atol=1e-4)
    assert written.get_data_dtype() == np.uint8
    assert set(np.unique(np.asarray(written.dataobj))) == {0, 1}


def test_sets_cover_the_object_that_is_there(calibrated):
    """Against the label's file itself, read by another library: nothing was turned or shifted on the way."""
    folder = calibrated.folder / "eval"
    if calibrated.name == "endoscopic":
        mask = pixels(next((calibrated.data / "test").glob("video_9/frame_000_seg.jpg"))) > 127
        found = pixels(folder / "video_9" / "frame_000_crc.png") > 0
    else:
        case = "case_016_seg" if calibrated.name == "brats" else "case_000"
        label = next(path for path in calibrated.data.rglob(f"{case}.nii.gz") if "images" not in str(path))
        mask = np.asarray(nibabel.load(label).dataobj) > 0
        found = np.asarray(nibabel.load(min(folder.rglob("*_crc.nii.gz"))).dataobj) > 0
        if found.ndim == 4:  # whatever is an object
            found = found[..., PRESENT[calibrated.name]].any(-1)
    assert 2 * (mask & found).sum() / (mask.sum() + found.sum()) > 0.6


@pytest.mark.parametrize("name", ["brats", "pancreas", "whole_body"])
def test_the_worst_class_is_covered_as_promised(zoo_bundle, name, tmp_path):
    bundle = zoo_bundle(name).copied(tmp_path)
    bundle.overlay(promise="worst")
    bundle.run("calibrate")
    bundle.run("evaluate")
    calibration = load_calibration(tmp_path / "models" / "coat_calibration_crc.json")
    assert calibration.controls == "worst_class_false_negative_rate"
    row = rows_of(bundle)["worst_class"]
    assert row["marginal_coverage"] >= 1 - ALPHA - chance(row, calibration.n[0])


@pytest.mark.parametrize(
    ("name", "method"), [("spleen", "meg"), ("brats", "coat"), ("endoscopic", "at"), ("endoscopic", "meg2")]
)
def test_learned_thresholds_are_fitted_and_keep_the_promise(zoo_bundle, name, method, tmp_path):
    bundle = zoo_bundle(name).copied(tmp_path)
    overlays = bundle.overlay(method=method)
    assert [path.name for path in overlays.files] == [
        f"coat_{step}.json" for step in ("fit", "calibrate", "evaluate", "inference")
    ]
    for step in ("fit", "calibrate", "evaluate", "inference"):
        bundle.run(step)
    calibration = load_calibration(tmp_path / "models" / f"coat_calibration_{method}.json")
    for (label, row), count in zip(rows_of(bundle, method).items(), calibration.n, strict=False):
        assert row["marginal_coverage"] >= 1 - ALPHA - chance(row, count), label
        assert row["relative_size_median"] < 2, label
    parts = read_json(tmp_path / "models" / f"coat_parts_{method}.json", "parts", "")["parts"]
    assert [len(parts[part]) for part in ("threshold_train", "calibration", "test")] == [12, 14, 14]


@pytest.mark.parametrize("step", ["calibrate", "inference"])
@pytest.mark.parametrize("name", [name for name in ZOO if name != "endoscopic"])
def test_a_plain_window_in_place_of_our_inferer_is_refused(zoo_bundle, name, step, tmp_path):
    """Thresholds would be of windows. The flat bundle has no window: its images are seen whole either way."""
    bundle = zoo_bundle(name).copied(tmp_path)
    bundle.overlay(method="coat")
    workflow = bundle.workflow(step, **{"evaluator#inferer": "@inferer"})
    load = workflow.parser["initialize"]
    workflow.parser["initialize"] = [line for line in load if "monai_coat" not in line]  # nothing is fitted yet
    if step == "inference":
        workflow.parser["coat_postprocessing"] = None
    workflow.initialize()
    with refused(r"got a window of one; use monai_coat\.inferers\.AdaptiveInferer"):
        workflow.run()
    assert not list((tmp_path / "models").glob("coat_calibration_*"))


def test_weights_that_were_trained_on_are_refused_until_they_are_calibrated(zoo_bundle, tmp_path):
    bundle = zoo_bundle("spleen").copied(tmp_path)
    bundle.overlay()
    bundle.run("calibrate")
    bundle.run("train", epochs=1, val_interval=1)
    with refused("segmenter weights"):
        bundle.run("inference")
    bundle.run("calibrate")
    bundle.run("inference")


def test_another_preprocessing_or_window_is_refused_by_name(zoo_bundle, tmp_path):
    bundle = zoo_bundle("spleen").copied(tmp_path)
    bundle.overlay()
    bundle.run("calibrate")
    for change, name in (
        ({"preprocessing#transforms#4#a_max": 200}, "preprocessing"),
        ({"inferer#overlap": 0.1}, "inferer"),
    ):
        with refused(name):
            bundle.run("inference", **change)


def test_a_checkpoint_that_a_handler_loads_is_loaded(zoo_bundle, tmp_path):
    """At the start of a run, which is after a calibration is attached: it is loaded before, then, and once."""
    bundle = zoo_bundle("spleen").copied(tmp_path)
    path = tmp_path / "configs" / "inference.json"
    content = json.loads(path.read_text())
    content["handlers"].insert(0, content.pop("checkpointloader"))
    del content["initialize"][1]
    path.write_text(json.dumps(content))
    bundle.overlay()
    bundle.run("calibrate")
    bundle.run("inference")
    assert len(list((tmp_path / "eval").glob("*_crc.nii.gz"))) == 2


def test_images_that_were_trained_on_are_refused(zoo_bundle, tmp_path):
    bundle = zoo_bundle("spleen").copied(tmp_path)
    bundle.overlay(data=["@train::dataset::data"])
    with refused(r"must not have been trained on, got 'case_000'"):
        bundle.run("calibrate")


def test_copies_of_images_that_were_trained_on_are_refused(zoo_bundle, tmp_path):
    bundle = zoo_bundle("spleen").copied(tmp_path / "bundle")
    for name in ("imagesTr", "labelsTr"):
        (tmp_path / name).mkdir()
        for number in range(30):
            shutil.copy(bundle.data / name / f"case_{number:03}.nii.gz", tmp_path / name / f"new_{number}.nii.gz")
    bundle.overlay(data=[str(tmp_path / "imagesTr"), str(tmp_path / "labelsTr")])
    with refused(r"must not have been trained on, got 'new_0', which has the bytes of .*case_000"):
        bundle.run("calibrate")


def test_a_calibration_of_another_promise_is_refused(zoo_bundle, tmp_path):
    bundle = zoo_bundle("spleen").copied(tmp_path)
    bundle.overlay()
    bundle.run("calibrate")
    bundle.overlay(promise="worst")
    for step in ("evaluate", "inference"):
        with refused("is for expected_risk of false_negative_rate, wanted is expected_risk of worst_class_false_neg"):
            bundle.run(step)
    bundle.run("calibrate")
    bundle.run("evaluate")
    bundle.overlay()
    with refused("is for expected_risk of worst_class_false_negative_rate, wanted is expected_risk of false_neg"):
        bundle.run("inference")


@pytest.mark.parametrize(
    ("method", "step", "made"), [("crc", "evaluate", "calibration"), ("meg", "calibrate", "scorer")]
)
def test_images_of_an_earlier_draw_are_refused(zoo_bundle, tmp_path, method, step, made):
    bundle = zoo_bundle("spleen").copied(tmp_path)
    bundle.overlay(method=method)
    bundle.run("fit" if method == "meg" else "calibrate")
    (tmp_path / f"models/coat_parts_{method}.json").unlink()
    with refused(rf"samples must be others than coat_{made}_{method}\.(json|pt) was made of, got 'case_"):
        bundle.run(step, coat_seed=1)


def test_images_of_one_s_own_calibrate(zoo_bundle, tmp_path):
    bundle = zoo_bundle("pancreas").copied(tmp_path)
    images, labels = (str(bundle.data / name) for name in ("imagesTr", "labelsTr"))
    more = ["--training-data", "$[]", "--shares", "0", "1", "0"]
    main(["overlay", str(tmp_path), "--alpha", "0.3", "--calibration-data", images, labels, *more])
    bundle.run("calibrate")
    calibration = load_calibration(tmp_path / "models" / "coat_calibration_crc.json")
    assert calibration.n[0] == 56
    assert calibration.alpha == 0.3


def test_the_command_says_what_is_promised_on_what_and_what_to_type(zoo_bundle, tmp_path, capsys, caplog):
    zoo_bundle("brats").copied(tmp_path)
    with caplog.at_level("INFO"):
        assert main(["overlay", str(tmp_path), "--alpha", "0.1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        str(tmp_path / "configs" / f"coat_{step}.json") for step in ("calibrate", "evaluate", "inference")
    ]
    said = caplog.text
    for words in (
        "sigmoid (Activationsd in postprocessing); classes Tumor_core, Whole_tumor, Enhancing_tumor",
        "promise: E[FNR] <= 0.1 on average over new images with foreground",
        "images: validate::dataset::data, drawn at random: 50% to calibrate and 50% to test, none in two parts",
        "refused if one of them is in train::dataset::data",
        "Lambda, SaveImage of the bundle give way",
        "python -m monai.bundle run --config_file \"['configs/train.json','configs/inference.json',"
        "'configs/coat_calibrate.json']\"",
    ):
        assert words in said, words
    assert json.loads((tmp_path / "configs" / "coat_calibrate.json").read_text())["coat_notes"]


def test_overlays_of_another_method_take_the_place_of_the_first(zoo_bundle, tmp_path):
    bundle = zoo_bundle("spleen").copied(tmp_path)
    configs: Path = tmp_path / "configs"
    bundle.overlay(method="meg")
    assert (configs / "coat_fit.json").exists()
    bundle.overlay()
    assert not (configs / "coat_fit.json").exists()
