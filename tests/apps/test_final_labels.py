# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A final annotation is one that can be calibrated on, or is refused when it is sent."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed; make label-test has an environment with it")

import requests
from PIL import Image

from tests.apps.hostile_files import REFUSED_HEADERS, bomb, png, volume
from tests.apps.label_server import LabelServer
from tests.bundles.conftest import HIPPOCAMPUS, BundleRun, VolumeRun, calibrated_run, data_run, volume_run

__all__ = ["calibrated_run", "data_run", "volume_run"]
SMALL = {"image_size": [24, 24, 16], "roi_size": [16, 16, 16]}
IMAGE, SIZE = "synthetic_0000", (20, 24, 16)


def shifted(millimetres: float) -> np.ndarray:
    affine = np.eye(4)
    affine[0, 3] = millimetres
    return affine


def full(value: float, kind: type = np.float32) -> bytes:
    return volume(np.full(SIZE, value, kind))


BAD = {what: make for what, (_, make) in REFUSED_HEADERS.items()} | {
    "NaN": lambda: full(np.nan),
    "infinite": lambda: full(np.inf),
    "negative": lambda: full(-3),
    "between labels": lambda: full(0.5),
    "beyond the labels": lambda: full(9),
    "far beyond": lambda: full(1e30),
    "an open question": lambda: full(8, np.uint8),
    "another size": lambda: volume(np.ones((20, 24, 15), np.uint8)),
    "another order of axes without saying so": lambda: volume(np.ones((24, 20, 16), np.uint8)),
    "another place": lambda: volume(np.ones(SIZE, np.uint8), shifted(5)),
    "half a voxel away": lambda: volume(np.ones(SIZE, np.uint8), shifted(0.5)),
    "two channels": lambda: volume(np.ones((*SIZE, 2), np.uint8)),
    "flat": lambda: volume(np.ones((20, 24), np.uint8)),
    "cut short": lambda: volume(np.ones(SIZE, np.uint8))[:-100],
}


@pytest.fixture(scope="module")
def server(volume_run: VolumeRun, tmp_path_factory: pytest.TempPathFactory):
    studies = tmp_path_factory.mktemp("finals") / "studies"
    studies.mkdir()
    for path in sorted((volume_run.folder / "data" / "synthetic" / "images").iterdir())[:3]:
        shutil.copy(path, studies)
    conf = {"bundle": str(HIPPOCAMPUS), "model_dirs": str(volume_run.folder / "models"), "method": "coat"}
    with LabelServer(studies, {**conf, "overrides": json.dumps(SMALL)}) as running:
        yield running


def put(server: LabelServer, content: bytes, name: str = "label.nii", image: str = IMAGE) -> requests.Response:
    url = f"{server.url}/datastore/label?image={image}&tag=final"
    return requests.put(url, files={"label": (name, content)}, timeout=60)


def kept(server: LabelServer) -> dict[str, bytes]:
    """Labels, what is known of them, and the record of drift."""
    paths = [path for path in server.studies.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(server.studies)): path.read_bytes() for path in sorted(paths)}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_one_is_refused_and_nothing_is_stored(server: LabelServer, what: str):
    before = kept(server)
    for content, name in ((BAD[what](), "label.nii"), (gzip.compress(BAD[what]()), "label.nii.gz")):
        answer = put(server, content, name)
        assert answer.status_code == 400, answer.text
        assert len(answer.json()["detail"].split()) > 5
        assert str(server.studies) not in answer.text
    assert kept(server) == before


def test_other_files_and_bombs_are_none(server: LabelServer):
    before = kept(server)
    for content, name in ((png((20, 24), "L"), "label.png"), (bomb(), "label.nii.gz"), (b"x", "label.nrrd")):
        assert put(server, content, name).status_code == 400
    assert kept(server) == before


def test_the_first_valid_one_counts_for_drift_and_comes_back_as_it_was_sent(server: LabelServer):
    def seen() -> int:
        promises = requests.get(f"{server.url}/info/", timeout=30).json()["calibration"]["promises"]
        return promises["0.2"]["anterior"]["n"]

    assert seen() == 0
    for what in ("NaN", "another place", "text"):
        put(server, BAD[what]())
    assert seen() == 0
    values = np.zeros(SIZE, np.uint8)
    values[5:10, 5:10, 5:10] = 1
    values[10:12, 5:10, 5:10] = 4
    turned = nibabel.Nifti1Image(values, np.eye(4)).as_reoriented(nibabel.orientations.axcodes2ornt("SLP"))
    assert turned.shape != SIZE
    content = turned.to_bytes()
    assert put(server, content).ok
    assert seen() == 1
    url = f"{server.url}/datastore/label?label={IMAGE}&tag=final"
    assert requests.get(url, timeout=60).content == content
    put(server, BAD["negative"]())
    assert requests.get(url, timeout=60).content == content
    assert put(server, full(1, np.uint8), "again.nii").ok
    assert seen() == 1  # the first of an image counts


def test_flat_annotations_are_whole_numbers_of_the_size_of_their_image(calibrated_run: BundleRun, tmp_path):
    studies = tmp_path / "studies"
    studies.mkdir()
    image = Path(min((calibrated_run.folder / "data" / "synthetic" / "images").iterdir()))
    shutil.copy(image, studies)
    conf = {"bundle": str(calibrated_run.bundle), "model_dirs": str(calibrated_run.folder / "models")}
    with LabelServer(studies, {**conf, "overrides": json.dumps({"image_size": [64, 64]})}) as running:
        before = kept(running)
        with Image.open(image) as opened:
            width, height = opened.size
        good = png((width, height), "L")
        for content, name in (
            (png((width, height), "L", "JPEG"), "label.jpg"),
            (png((height, width), "L"), "label.png"),
            (png((width, height + 1), "L"), "label.png"),
            (volume(np.ones((width, height), np.float32) / 2), "label.nii.gz"),
            (b"", "label.png"),
            (b"no image", "label.png"),
            (good[:40], "label.png"),
            (png((width, height), "L", "GIF"), "label.png"),
        ):
            answer = put(running, content, name, image.stem)
            assert answer.status_code == 400, (name, answer.text)
        assert kept(running) == before
        assert put(running, good, "label.png", image.stem).ok
