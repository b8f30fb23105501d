# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Whatever is sent, the server answers in a sentence, writes nothing, keeps nothing, and lives, within its memory."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
import uuid
from pathlib import Path

import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed; make label-test has an environment with it")

import requests

from monai_coat.apps import CalibratedBundle
from tests.apps.hostile_files import bomb
from tests.apps.hostile_requests import HOSTILE, IMAGE, INFER, MODEL, Hostile, upload
from tests.apps.label_server import LabelServer
from tests.bundles.conftest import HIPPOCAMPUS, VolumeRun, volume_run

__all__ = ["volume_run"]
SMALL = {"image_size": [24, 24, 16], "roi_size": [16, 16, 16]}
MEMORY = 3 * 2**30


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder, but for what the server keeps beside its studies."""
    files = [path for path in folder.rglob("*") if path.is_file() and not {"home", "app", "tmp"} & set(path.parts)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(files)}


@pytest.fixture(scope="module")
def server(volume_run: VolumeRun, tmp_path_factory: pytest.TempPathFactory):
    """A server with little memory, which takes a million voxels and 20 MB."""
    root = tmp_path_factory.mktemp("hostile")
    studies = root / "studies"
    studies.mkdir()
    (root / "tmp").mkdir()
    for path in sorted((volume_run.folder / "data" / "synthetic" / "images").iterdir())[:3]:
        shutil.copy(path, studies)
    conf = {"bundle": str(HIPPOCAMPUS), "model_dirs": str(volume_run.folder / "models"), "method": "coat"}
    conf |= {"overrides": json.dumps(SMALL), "max_voxels": str(2**20), "max_megabytes": "20"}
    with LabelServer(studies, conf, memory=MEMORY, more={"TMPDIR": str(root / "tmp")}) as running:
        yield running


@pytest.fixture(scope="module")
def before(server: LabelServer) -> dict[str, bytes]:
    return contents(server.studies.parent)


def left_over(server: LabelServer) -> list[Path]:
    """Files in the server's temporary folder, and not the folder itself; they go just after the answer came."""
    for _ in range(100):
        folders = (server.studies.parent / "tmp").glob("monai_coat_label_*")
        files = [path for folder in folders for path in folder.iterdir()]
        if not files:
            break
        time.sleep(0.1)
    return files


def send(server: LabelServer, request: Hostile) -> requests.Response:
    """As it is: requests would tidy the address up."""
    prepared = requests.Request(request.method, f"{server.url}/", **request.more).prepare()
    prepared.url = server.url + request.target
    return requests.Session().send(prepared, timeout=120)


def check_answer(server: LabelServer, answer: requests.Response) -> None:
    """It says something, and nothing of the server."""
    root, text = str(server.studies.parent), answer.text
    for secret in (root, str(HIPPOCAMPUS), sys.prefix, str(Path.home()) + "/", "Traceback"):
        assert secret not in text
    assert not re.search(r"0x[0-9a-f]{6,}", text)
    assert "NaN" not in text or answer.status_code != 200
    if answer.status_code != 200:
        detail = answer.json()["detail"]
        assert isinstance(detail, str)
        assert len(detail.split()) >= 3
        assert "Internal Server Error" not in detail


@pytest.mark.parametrize("request_", HOSTILE, ids=[request.name for request in HOSTILE])
def test_every_request_is_answered_and_leaves_nothing(server: LabelServer, before, request_: Hostile):
    answer = send(server, request_)
    assert answer.status_code in request_.statuses, (answer.status_code, answer.text[:500])
    check_answer(server, answer)
    assert left_over(server) == []
    assert contents(server.studies.parent) == before


def test_there_are_hundreds_of_them_and_none_twice():
    assert len(HOSTILE) > 300
    assert len({request.name for request in HOSTILE}) == len(HOSTILE)


def test_a_bomb_is_refused_before_it_is_unpacked(server: LabelServer):
    before, content = server.memory_of("VmHWM"), upload(bomb(), "a.nii.gz")
    answer = requests.post(f"{server.url}{INFER}", **content, timeout=60)
    assert "at most 1048576 voxels, got 104857600 (512 x 512 x 400)" in answer.json()["detail"]
    assert server.memory_of("VmHWM") - before < 50  # it has 100 MB, and 9 GB are needed to answer


def test_the_server_lives_in_its_memory_and_answers_as_before(server: LabelServer, before, volume_run: VolumeRun):
    assert server.alive()
    image = server.studies / f"{IMAGE}.nii.gz"
    answer = requests.post(f"{server.url}{INFER}&image={IMAGE}", data={"params": "{}"}, timeout=60).json()
    bundle = CalibratedBundle(HIPPOCAMPUS, [volume_run.folder / "models"], "coat", overrides=SMALL)
    assert answer["sizes"] == bundle.predict(image).result["sizes"]
    assert server.memory_of("VmHWM") < 1300  # 660 when nothing has happened, 90 for a million voxels
    assert contents(server.studies.parent) == before


def test_what_is_drawn_is_stored_when_asked_for_and_only_then(server: LabelServer):
    labels = server.studies / "labels"
    url, kept = f"{server.url}{INFER}&image={IMAGE}", json.dumps({"save_label": True, "label_tag": "version_1"})
    assert requests.post(url, data={"params": "{}"}, timeout=60).ok
    assert [path for path in labels.rglob("*") if path.is_file()] == []
    assert requests.post(url, data={"params": kept}, timeout=60).ok
    assert [path.name for path in labels.rglob("*") if path.is_file()] == [f"{IMAGE}.nii.gz"]
    assert (labels / "version_1" / f"{IMAGE}.nii.gz").is_file()
    target = f"{server.url}/datastore/label?id={IMAGE}&tag=version_1"
    assert requests.delete(target, timeout=60).ok


def test_files_of_others_cannot_be_asked_about(server: LabelServer):
    """Neither those of sessions by their path, nor temporary ones; a session is known by its name alone."""
    image = (server.studies / f"{IMAGE}.nii.gz").read_bytes()
    opened = requests.put(f"{server.url}/session/", files={"files": ("a.nii.gz", image)}, timeout=60).json()
    name = opened["session_id"]
    assert uuid.UUID(name).version == 4  # drawn at random
    check_answer(server, requests.get(f"{server.url}/session/{name}", timeout=60))
    kept = server.studies.parent / "home" / "sessions" / name / "a.nii.gz"
    assert kept.is_file()
    (folder,) = (server.studies.parent / "tmp").glob("monai_coat_label_*")
    other = folder / "tmpabcdefgh.nii.gz"
    for path in (kept, other):
        other.write_bytes(image)
        for more in ({"params": "{}"}, {"params": json.dumps({"image": str(path)})}):
            answer = requests.post(f"{server.url}{INFER}&image={path}", data=more, timeout=60)
            assert answer.status_code == 400
        answer = requests.post(f"{server.url}{INFER}", data=more, **upload(image, "mine.nii.gz"), timeout=60)
        assert answer.status_code == 400
    answer = requests.post(f"{server.url}{INFER}&session_id={name}", data={"params": "{}"}, timeout=60)
    assert answer.ok, answer.text
    unknown = requests.post(f"{server.url}{INFER}&session_id=nobody&image={IMAGE}", data={"params": "{}"}, timeout=60)
    assert unknown.status_code == 404  # and not the image of the studies in its place
    assert requests.delete(f"{server.url}/session/{name}", timeout=60).ok
    assert not kept.exists()


def test_addresses_of_viewers_are_all_there(server: LabelServer):
    for method, target in (
        ("GET", "/"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/info/"),
        ("GET", "/datastore/"),
        ("GET", "/datastore/?output=all"),
        ("GET", "/datastore/?output=train"),
        ("GET", f"/datastore/image?image={IMAGE}"),
        ("HEAD", f"/datastore/image?image={IMAGE}"),
        ("GET", f"/datastore/image/info?image={IMAGE}"),
        ("POST", "/activelearning/random"),
        ("POST", "/activelearning/ambiguity"),
        ("POST", "/scoring/ambiguity?run_sync=true"),
        ("POST", f"/batch/infer/{MODEL}?run_sync=true&images=labeled"),
    ):
        answer = requests.request(method, server.url + target, timeout=120)
        assert answer.ok, (target, answer.text)
        if "json" in answer.headers.get("content-type", ""):
            check_answer(server, answer)
