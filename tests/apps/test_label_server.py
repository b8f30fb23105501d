# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MONAI Label with our app, as a viewer and a script see it: a real server over loopback."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import nibabel
import numpy as np
import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed; make label-test has an environment with it")

import requests
from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException
from PIL import Image
from requests_toolbelt.multipart import decoder
from scipy.ndimage import binary_fill_holes
from skimage.draw import polygon2mask

from monai_coat.apps import CalibratedBundle, split_for_recalibration
from monai_coat.apps.label.drift import ServedDrift
from monai_coat.calibration import load_calibration
from monai_coat.cli.main import main
from tests.apps.label_server import LabelServer, with_shim
from tests.bundles.conftest import HIPPOCAMPUS, BundleRun, VolumeRun, calibrated_run, data_run, volume_run

__all__ = ["calibrated_run", "data_run", "volume_run"]
SMALL = {"image_size": [24, 24, 16], "roi_size": [16, 16, 16]}
FLAT = {"image_size": [64, 64]}
MODEL = "hippocampus_coat"


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def studies(volume_run: VolumeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("label") / "studies"
    folder.mkdir()
    for path in sorted((volume_run.folder / "data" / "synthetic" / "images").iterdir())[:8]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def server(volume_run: VolumeRun, studies: Path):
    other = studies.parent / "models"
    other.mkdir()
    for name in ("segmenter.pt", "scorer_coat.pt", "partition.json"):
        shutil.copy(volume_run.folder / "models" / name, other)
    volume_run.run("calibrate", method="coat", alpha=0.3, model_dir=str(other))
    conf = {"bundle": str(HIPPOCAMPUS), "model_dirs": f"{volume_run.folder / 'models'},{other}", "method": "coat"}
    with LabelServer(studies, {**conf, "overrides": json.dumps(SMALL)}) as running:
        yield running
    assert running.status in (0, -15)
    assert "Traceback" not in running.log


@pytest.fixture(scope="module")
def expected(volume_run: VolumeRun) -> CalibratedBundle:
    return CalibratedBundle(HIPPOCAMPUS, [volume_run.folder / "models"], "coat", overrides=SMALL)


def post(server: LabelServer, study: str = "", model: str = MODEL, output: str = "", files=None, **params):
    query = "&".join(f"{name}={value}" for name, value in {"image": study, "output": output}.items() if value)
    data = {"params": json.dumps(params)}
    return requests.post(f"{server.url}/infer/{model}?{query}", data=data, files=files, timeout=120)


def decided(values: np.ndarray) -> np.ndarray:
    """Labels as an annotator leaves them: where both parts were possible or certain, it is the anterior one."""
    return np.where(values > 4, 1, values).astype(np.uint8)


def volume_of(content: bytes, folder: Path) -> nibabel.Nifti1Image:
    (folder / "answer.nii.gz").write_bytes(content)
    return nibabel.load(folder / "answer.nii.gz")


def test_info_says_what_is_offered_and_how_the_promise_stands(server: LabelServer):
    info = requests.get(f"{server.url}/info/", timeout=30).json()
    model = info["models"][MODEL]
    assert model["labels"] == {
        "anterior certain": 1,
        "anterior possible": 2,
        "posterior certain": 3,
        "posterior possible": 4,
        "anterior certain, posterior certain": 5,
        "anterior certain, posterior possible": 6,
        "anterior possible, posterior certain": 7,
        "anterior possible, posterior possible": 8,
    }
    assert model["config"]["alpha"] == [0.2, 0.3]
    assert set(info["strategies"]) >= {"random", "ambiguity"}
    assert info["calibration"]["level"] == 0.01
    promises = info["calibration"]["promises"]
    assert [classes["anterior"]["broken"] for classes in promises.values()] == [False, False]
    assert all(float(alpha) < classes["posterior"]["notices_above"] < 1 for alpha, classes in promises.items())


def test_json_image_and_both_are_the_package_s_own_answer(server, studies, expected, tmp_path):
    prediction = expected.predict(studies / "synthetic_0000.nii.gz")
    result = post(server, "synthetic_0000", output="json").json()
    assert {key: result[key] for key in prediction.result} == prediction.result
    assert result["label_names"] == expected.labels
    answer = volume_of(post(server, "synthetic_0000", output="image").content, tmp_path)
    assert np.array_equal(np.asarray(answer.dataobj).squeeze(), prediction.labels[0].numpy())
    np.testing.assert_allclose(answer.affine, prediction.labels.affine.numpy())
    both = decoder.MultipartDecoder.from_response(post(server, "synthetic_0000"))
    assert len(both.parts) == 2
    assert json.loads(both.parts[0].text)["alpha"] == 0.2


def test_the_level_can_be_chosen_among_those_calibrated(server):
    assert post(server, "synthetic_0001", output="json", alpha=0.3).json()["alpha"] == 0.3
    assert post(server, "synthetic_0001", output="json", alpha="0.3").json()["alpha"] == 0.3
    for alpha in (0.05, 0, 1.5, "much", [7]):
        answer = post(server, "synthetic_0001", output="json", alpha=alpha)
        assert answer.status_code == 400, answer.text
        assert answer.json()["detail"]
    assert (
        "must be a calibrated level, 0.2, 0.3, got 0.05" in post(server, "synthetic_0001", alpha=0.05).json()["detail"]
    )


def test_what_viewers_send(server, studies, expected, tmp_path):
    """3D Slicer asks for .nrrd, OHIF for the image alone."""
    labels = expected.predict(studies / "synthetic_0002.nii.gz").labels[0].numpy()
    slicer = post(server, "synthetic_0002", result_extension=".nrrd", result_dtype="uint8", result_compress=False)
    part = decoder.MultipartDecoder.from_response(slicer).parts[1]
    (tmp_path / "slicer.nrrd").write_bytes(part.content)
    import nrrd

    volume, _ = nrrd.read(str(tmp_path / "slicer.nrrd"))
    assert np.array_equal(volume.squeeze(), labels)
    ohif = post(server, "synthetic_0002", output="image", result_extension=".nii.gz", result_dtype="uint16")
    assert np.array_equal(np.asarray(volume_of(ohif.content, tmp_path).dataobj).squeeze(), labels)


def test_an_upload_is_answered_and_forgotten(server, studies, expected):
    before = snapshot(studies)
    files = {"file": ("mine.nii.gz", (studies / "synthetic_0003.nii.gz").read_bytes())}
    answer = post(server, output="json", files=files)
    sizes = expected.predict(studies / "synthetic_0003.nii.gz").result["sizes"]
    assert answer.json()["sizes"] == sizes
    # 3D Slicer uploads a volume that the server does not have, and then asks about it by its session.
    client = MONAILabelClient(server.url)
    session = client.create_session(str(studies / "synthetic_0003.nii.gz"))["session_id"]
    assert client.infer(MODEL, "", {}, session_id=session)[1]["sizes"] == sizes
    client.remove_session(session)
    assert snapshot(studies) == before


def test_hostile_requests_are_answered_with_a_sentence_and_change_nothing(server, studies):
    before = snapshot(studies)
    outside = studies.parent / "secret.nii.gz"
    shutil.copy(studies / "synthetic_0000.nii.gz", outside)
    shared = Path(shutil.copy(outside, Path(tempfile.gettempdir()) / f"of_another_{os.getpid()}.nii.gz"))
    hostile = [
        (400, post(server, str(shared))),
        (404, post(server, "nobody")),
        (400, post(server, str(outside))),
        (400, post(server, "../secret")),
        (400, post(server, "/etc/passwd")),
        (400, post(server, "synthetic_0000", image="/etc/passwd")),
        (404, post(server, "synthetic_0000", model="other")),
        (400, post(server, "synthetic_0000", alpha=0)),
        (400, post(server, "synthetic_0000", result_extension=".exe")),
        (400, post(server, files={"file": ("text.nii.gz", b"no volume at all")})),
        (400, post(server, files={"file": ("cut.nii.gz", outside.read_bytes()[:400])})),
    ]
    for status, answer in hostile:
        assert answer.status_code == status, (answer.status_code, answer.text)
        assert len(answer.json()["detail"]) > 10
    shared.unlink()
    url = f"{server.url}/infer/{MODEL}?image=synthetic_0000&output=json"
    broken = requests.post(url, data={"params": '{"alpha": 0.2'}, timeout=30)
    assert broken.status_code == 400
    assert "params must be a JSON object" in broken.json()["detail"]
    nested = requests.post(url, data={"params": "[" * 300_000}, timeout=30)
    assert nested.status_code == 400
    assert "params must be a JSON object" in nested.json()["detail"]
    for params in ("[" * 10_000_000, json.dumps({"alpha": 0.2, "note": "x" * 10_000_000})):
        answer = requests.post(url, data={"params": params}, timeout=120)
        assert answer.status_code == 400, answer.text[:200]
        assert "exceeded maximum size" in answer.json()["detail"]
    unknown = requests.post(f"{server.url}/activelearning/nothing", timeout=30)
    assert unknown.status_code == 400
    assert "no such strategy" in unknown.json()["detail"]
    body = requests.post(url, json={"alpha": 0.2, "note": "x" * 10_000_000}, timeout=120)
    assert body.status_code == 415
    assert "send it so" in body.json()["detail"]
    for _ in range(1000):
        assert post(server, "synthetic_0000", alpha=0).status_code == 400
    assert post(server, "synthetic_0000", output="json").status_code == 200
    assert server.alive()
    assert snapshot(studies) == before


def test_the_client_of_monai_label_goes_through_a_session_of_work(server, studies, tmp_path):
    client = MONAILabelClient(server.url, tmpdir=str(tmp_path))  # server and client of one machine share names
    assert MODEL in client.info()["models"]
    requests.post(f"{server.url}/scoring/ambiguity?run_sync=true", timeout=300).raise_for_status()
    info = {name: client.datastore()["objects"][name]["image"]["info"] for name in client.datastore()["objects"]}
    scores = {name: each["ambiguity"] for name, each in info.items()}
    learning, calibration = (
        [each["id"] for each in side] for side in split_for_recalibration([{"id": name} for name in scores])
    )
    first = client.next_sample("ambiguity", {})
    assert first["id"] == max(learning, key=lambda name: scores[name])
    label, params = client.infer(MODEL, first["id"], {"alpha": 0.2})
    assert params["method"] == "coat"
    drawn = nibabel.load(label)
    with pytest.raises(MONAILabelClientException, match=r"must have one class for each voxel, got .*decide for one"):
        client.save_label(first["id"], label)
    final = nibabel.Nifti1Image(decided(np.asarray(drawn.dataobj).squeeze()), drawn.affine)
    nibabel.save(final, tmp_path / "final.nii.gz")
    client.save_label(first["id"], str(tmp_path / "final.nii.gz"))
    second = client.next_sample("ambiguity", {})["id"]
    assert second in calibration
    served = nibabel.load(client.infer(MODEL, second, {"alpha": 0.2})[0])
    final = nibabel.Nifti1Image(decided(np.asarray(served.dataobj).squeeze()), served.affine)
    nibabel.save(final, tmp_path / "second.nii.gz")
    client.save_label(second, str(tmp_path / "second.nii.gz"))
    # What was served was saved: nothing is missed, and the gambler against the promise has lost a little.
    # The first image was picked for being hard and does not count.
    drift = requests.get(f"{server.url}/info/", timeout=30).json()["calibration"]["promises"]
    assert [drift[alpha]["anterior"]["n"] for alpha in ("0.2", "0.3")] == [1, 1]
    assert drift["0.2"]["anterior"]["evidence"] < 1


def test_annotations_that_the_sets_miss_are_noticed(server, studies, expected):
    """All volumes but the two before are annotated where nothing was thought possible."""
    for name in sorted(path.name.removesuffix(".nii.gz") for path in studies.glob("*.nii.gz")):
        image = nibabel.load(studies / f"{name}.nii.gz")
        labels = expected.predict(studies / f"{name}.nii.gz").labels[0].numpy()
        wrong = np.where(labels == 0, 1, 0).astype(np.uint8)
        content = nibabel.Nifti1Image(wrong, image.affine).to_bytes()
        requests.put(
            f"{server.url}/datastore/label?image={name}&tag=final",
            files={"label": (f"{name}.nii", io.BytesIO(content))},
            timeout=60,
        ).raise_for_status()
    promises = requests.get(f"{server.url}/info/", timeout=30).json()["calibration"]["promises"]
    for alpha in ("0.2", "0.3"):
        assert promises[alpha]["anterior"]["n"] == 7
        assert promises[alpha]["anterior"]["evidence"] > 1


@dataclass
class OneAnnotation:
    """As much of a datastore as the watch looks at."""

    image: Path
    label: Path

    def get_image_uri(self, image: str) -> str:
        return str(self.image)

    def get_label_uri(self, image: str, tag: str) -> str:
        return str(self.label)

    def get_image_info(self, image: str) -> dict[str, object]:
        return {}


def test_annotations_that_cannot_be_compared_are_no_evidence(studies, expected, tmp_path, caplog):
    image, watch = studies / "synthetic_0000.nii.gz", ServedDrift(expected, tmp_path, 0.01)
    (tmp_path / "garbage.nii.gz").write_bytes(b"no label")
    nibabel.save(nibabel.Nifti1Image(np.ones((3, 4, 5), np.uint8), np.eye(4)), tmp_path / "small.nii.gz")
    size = nibabel.load(image).shape
    elsewhere = np.eye(4)
    elsewhere[0, 3] = 9
    nibabel.save(nibabel.Nifti1Image(np.ones(size, np.uint8), elsewhere), tmp_path / "shifted.nii.gz")
    values = np.ones(size, np.uint8)
    values[0, 0, :2] = 6
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "open.nii.gz")
    for name, reason in (
        ("garbage", r"label must be a readable image, got .*garbage.nii.gz"),
        ("small", r"must have one size, got \(.*\) of .*small.nii.gz"),
        ("shifted", r"must lie on one another, got .*shifted.nii.gz up to 9 voxels from"),
        ("open", r"must have one class for each voxel, got 'anterior certain, posterior possible' in one of 2 voxels"),
    ):
        watch.annotated(OneAnnotation(image, tmp_path / f"{name}.nii.gz"), "image")
        assert re.search(reason, caplog.text)
    assert watch.risks == {}
    labels = expected.predict(image).labels[0].numpy()
    nibabel.save(nibabel.Nifti1Image(decided(labels), np.eye(4)), tmp_path / "good.nii.gz")
    watch.annotated(OneAnnotation(image, tmp_path / "good.nii.gz"), "image")
    assert watch.report()["promises"]["0.2"]["anterior"]["n"] == 1
    assert ServedDrift(expected, tmp_path, 0.01).report() == watch.report()
    watch.path.write_text("{")
    with pytest.raises(ValueError, match=r"the record of annotations must be a JSON file.*remove it to begin"):
        ServedDrift(expected, tmp_path, 0.01)


def test_training_recalibrates_on_images_kept_apart_and_is_served_at_once(volume_run: VolumeRun, tmp_path):
    studies, models, data = tmp_path / "studies", tmp_path / "models", volume_run.folder / "data" / "synthetic"
    shutil.copytree(data / "images", studies)
    shutil.copytree(volume_run.folder / "models", models, ignore=shutil.ignore_patterns("retrained"))
    conf = {"bundle": str(HIPPOCAMPUS), "model_dirs": str(models), "overrides": json.dumps(SMALL)}
    with LabelServer(studies, conf) as running:
        few = requests.post(f"{running.url}/train/{MODEL}?run_sync=true", json={}, timeout=300)
        assert "annotations must be of at least 10 images" in few.text
        for path in sorted((data / "labels").iterdir()):
            label = nibabel.load(path)
            final = nibabel.Nifti1Image(2 * np.asarray(label.dataobj).astype(np.uint8), label.affine).to_bytes()
            name = path.name.removesuffix(".nii.gz")
            requests.put(
                f"{running.url}/datastore/label?image={name}&tag=final",
                files={"label": (f"{name}.nii", io.BytesIO(final))},
                timeout=60,
            ).raise_for_status()
        before = post(running, "synthetic_0000", output="json").json()
        seen = requests.get(f"{running.url}/info/", timeout=30).json()["calibration"]["promises"]["0.2"]["anterior"]
        assert seen["n"] > 10
        done = requests.post(f"{running.url}/train/{MODEL}?run_sync=true", json={"max_epochs": 2}, timeout=600)
        assert done.ok, done.text
        after = post(running, "synthetic_0000", output="json").json()
        seen = requests.get(f"{running.url}/info/", timeout=30).json()["calibration"]["promises"]["0.2"]["anterior"]
        assert (seen["n"], seen["evidence"]) == (0, 1)  # of the new calibration nothing is known yet
    assert after["n"] != before["n"]
    assert after["n"] == list(load_calibration(models / "retrained" / "000" / "calibration_coat.json").n)


def test_flat_images_come_back_as_png_and_as_polygons(calibrated_run: BundleRun, tmp_path):
    studies = tmp_path / "studies"
    studies.mkdir()
    images = sorted((calibrated_run.folder / "data" / "synthetic" / "images").iterdir())[:2]
    for path in images:
        shutil.copy(path, studies)
    models = calibrated_run.folder / "models"
    conf = {"bundle": str(calibrated_run.bundle), "model_dirs": str(models), "overrides": json.dumps(FLAT)}
    expected = CalibratedBundle(calibrated_run.bundle, [models], overrides=FLAT)
    with LabelServer(studies, conf) as running:
        answer = post(running, images[0].stem, model="polyp_coat", output="image")
        assert answer.ok, answer.text
        labels = np.asarray(Image.open(io.BytesIO(answer.content)))
        assert np.array_equal(labels.T, expected.predict(images[0]).labels[0].numpy())
        region = {"level": 0, "location": [0, 0], "size": [0, 0], "tile_size": [1024, 1024], "min_poly_area": 0}
        url = f"{running.url}/infer/wsi_v2/polyp_coat?image={images[0].stem}"
        xml = requests.post(f"{url}&output=asap", data={"wsi": json.dumps(region)}, timeout=120)
        assert xml.ok, xml.text
        groups = ElementTree.fromstring(xml.text).iter("Annotation")
        drawn = np.zeros(labels.shape, bool)
        for annotation in groups:
            if annotation.get("Name") == "polyp possible":
                points = [(float(point.get("X")), float(point.get("Y"))) for point in annotation.iter("Coordinate")]
                drawn |= polygon2mask(labels.shape[::-1], np.array(points)).T
        # Outlines run half-way between pixels, and holes are outlines too.
        assert (drawn != binary_fill_holes(labels == 2)).mean() < 0.02
        answer = requests.post(f"{url}&output=json", data={"wsi": json.dumps(region)}, timeout=120)
        assert answer.json()["method"] == "coat"
        _, same = MONAILabelClient(running.url).wsi_infer("polyp_coat", images[0].stem, region, "asap")
        assert same == xml.content


def test_the_stock_bundle_app_serves_exported_bundles(
    volume_run: VolumeRun, calibrated_run: BundleRun, studies, expected, tmp_path
):
    """MONAI Label's own app, and no code of ours beside what the bundles' configs name; volumes and flat images."""
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("the stock app imports torchvision, which is not installed")
    copy = [sys.executable, "-m", "monailabel.main", "apps", "--download", "--name", "monaibundle"]
    shim = {**os.environ, "PYTHONPATH": with_shim(), "HOME": str(tmp_path)}
    subprocess.run([*copy, "--output", str(tmp_path)], check=True, timeout=300, env=shim, capture_output=True)
    for source, run, small in ((HIPPOCAMPUS, volume_run, SMALL), (calibrated_run.bundle, calibrated_run, FLAT)):
        bundle = tmp_path / "monaibundle" / "model" / Path(source).name
        models = str(run.folder / "models")
        options = ["--models", models, "--method", "coat", "--overrides", json.dumps(small)]
        assert main(["export-bundle", str(source), str(bundle), *options]) == 0
    mine = tmp_path / "studies"
    shutil.copytree(studies, mine)
    photo = shutil.copy(
        calibrated_run.folder / "data" / "synthetic" / "images" / "synthetic_0001.png", mine / "photo.png"
    )
    conf = {"models": f"{MODEL},polyp_coat", "zoo_source": "ngc", "sam2": "false"}
    with LabelServer(mine, conf, tmp_path / "monaibundle") as running:
        info = requests.get(f"{running.url}/info/", timeout=30).json()
        assert info["models"][MODEL]["labels"] == expected.labels
        answer = post(running, "synthetic_0001", output="image")
        assert answer.ok, answer.text
        png = post(running, "photo", model="polyp_coat", output="image", result_extension=".png", result_dtype="uint8")
        assert png.ok, png.text
    labels = np.asarray(volume_of(answer.content, tmp_path).dataobj).squeeze()
    assert np.array_equal(labels, expected.predict(mine / "synthetic_0001.nii.gz").labels[0].numpy())
    polyp = CalibratedBundle(calibrated_run.bundle, [calibrated_run.folder / "models"], overrides=FLAT)
    drawn = np.asarray(Image.open(io.BytesIO(png.content)))
    assert np.array_equal(drawn.T, polyp.predict(photo).labels[0].numpy())
