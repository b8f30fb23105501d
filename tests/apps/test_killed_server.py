# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A server that is killed while it trains takes its trainer along; the next one goes on with what was whole."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel
import numpy as np
import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed; make label-test has an environment with it")

import psutil
import requests

from monai_coat.apps import CalibratedBundle
from tests.apps.label_server import LabelServer
from tests.bundles.conftest import HIPPOCAMPUS, VolumeRun, volume_run

__all__ = ["volume_run"]
SMALL = {"image_size": [24, 24, 16], "roi_size": [16, 16, 16]}
MODEL = "hippocampus_coat"


@pytest.fixture(scope="module")
def place(volume_run: VolumeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies whose images all have a final annotation, and models beside them."""
    root = tmp_path_factory.mktemp("killed")
    data = volume_run.folder / "data" / "synthetic"
    shutil.copytree(data / "images", root / "studies")
    (root / "studies" / "labels" / "final").mkdir(parents=True)
    for path in sorted((data / "labels").iterdir()):
        label = nibabel.load(path)
        final = nibabel.Nifti1Image(2 * np.asarray(label.dataobj).astype(np.uint8), label.affine)
        nibabel.save(final, root / "studies" / "labels" / "final" / path.name)
    shutil.copytree(volume_run.folder / "models", root / "models", ignore=shutil.ignore_patterns("retrained"))
    (root / "tmp").mkdir()
    return root


def server_at(place: Path) -> LabelServer:
    conf = {"bundle": str(HIPPOCAMPUS), "model_dirs": str(place / "models"), "overrides": json.dumps(SMALL)}
    return LabelServer(place / "studies", conf, more={"TMPDIR": str(place / "tmp")})


def infer(server: LabelServer, image: str) -> dict[str, object]:
    url = f"{server.url}/infer/{MODEL}?image={image}&output=json"
    answer = requests.post(url, data={"params": "{}"}, timeout=120)
    assert answer.ok, answer.text
    return answer.json()


def until(what, seconds: float = 120.0):
    limit = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < limit, f"{what} did not come"
        time.sleep(0.05)
    return found


def test_the_trainer_ends_with_its_server_and_training_goes_on_with_the_next(place: Path):
    models = place / "models" / "retrained"
    with server_at(place) as running:
        before = infer(running, "synthetic_0000")
        started = requests.post(f"{running.url}/train/{MODEL}", json={"max_epochs": 5000}, timeout=60)
        assert started.ok, started.text
        unfinished = until(lambda: list(models.glob(".*.tmp")))
        (trainer,) = psutil.Process(running.process.pid).children(recursive=True)
        os.kill(running.process.pid, signal.SIGKILL)
        until(lambda: not trainer.is_running() or trainer.status() == psutil.STATUS_ZOMBIE, 30)
    assert [path for path in models.iterdir() if path.suffix != ".tmp" and path.name != ".lock"] == []
    assert all(path.exists() for path in unfinished)
    with server_at(place) as running:
        assert infer(running, "synthetic_0000") == before
        done = requests.post(f"{running.url}/train/{MODEL}?run_sync=true", json={"max_epochs": 2}, timeout=600).json()
        assert done["models"] == "000"
        assert sorted(path.name for path in models.iterdir()) == [".lock", "000", "current.txt"]
        assert infer(running, "synthetic_0000")["n"] == done["calibrated_on"]
        assert len(list((place / "tmp").glob("monai_coat_label_*"))) == 1  # and none of the killed one


def test_eight_clients_at_once_get_what_one_gets(place: Path):
    images = sorted(path.name.removesuffix(".nii.gz") for path in (place / "studies").glob("*.nii.gz"))[:16]
    uploads = [(place / "studies" / f"{name}.nii.gz").read_bytes() for name in images]

    with server_at(place) as running:

        def ask(number: int) -> dict[str, object]:
            if number % 2:
                return infer(running, images[number % 16])
            files = {"file": ("a.nii.gz", io.BytesIO(uploads[number % 16]))}
            url = f"{running.url}/infer/{MODEL}?output=json"
            return requests.post(url, data={"params": "{}"}, files=files, timeout=120).json()

        alone = [ask(number) for number in range(16)]
        with ThreadPoolExecutor(8) as clients:
            together = list(clients.map(ask, range(64)))
        assert together == [alone[number % 16] for number in range(64)]
        folders = list((place / "tmp").glob("monai_coat_label_*"))
        until(lambda: not [path for folder in folders for path in folder.iterdir()], 10)
    bundle = CalibratedBundle(HIPPOCAMPUS, [place / "models"], "coat", overrides=SMALL)
    for name, answer in zip(images, alone, strict=True):
        assert answer["sizes"] == bundle.predict(place / "studies" / f"{name}.nii.gz").result["sizes"]


def test_a_second_training_waits_for_nobody(place: Path):
    """One that is asked for while another runs is refused in a sentence, and changes nothing."""
    with server_at(place) as running:
        requests.post(f"{running.url}/train/{MODEL}", json={"max_epochs": 5000}, timeout=60).raise_for_status()
        until(lambda: list((place / "models" / "retrained").glob(".*.tmp")))
        url = f"{running.url}/train/{MODEL}?run_sync=true&enqueue=true"
        second = requests.post(url, json={"max_epochs": 2}, timeout=600).json()
        assert "training must be the only one" in second["error"]
        assert requests.post(f"{running.url}/train/{MODEL}", json={}, timeout=60).status_code == 429
        assert str(place) not in json.dumps(second) + requests.get(f"{running.url}/train/", timeout=60).text
        assert requests.delete(f"{running.url}/train/", timeout=60).ok
