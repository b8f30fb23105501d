# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Retraining that is killed at one of its writes leaves the old models served, or the new ones whole."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from monai_coat.apps import CalibratedBundle, retrain
from tests.bundles.conftest import HIPPOCAMPUS, VolumeRun, volume_run

__all__ = ["volume_run"]
SMALL = {"image_size": [24, 24, 16], "roi_size": [16, 16, 16]}
KILLS = 20
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are copied and killed as POSIX does")


def at_each_write(folder: Path, call: Callable[[int, str], None]) -> None:
    """From now on in this process, call before each write below a folder, with its number and what it is."""
    count = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        writes = event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir")
        writes |= event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & WRITING)
        if writes and str(arguments[0]).startswith(str(folder)):
            count += 1
            call(count, f"{event} {arguments[0]}")

    sys.addaudithook(hook)


def in_a_copy(work: Callable[[], object]) -> int:
    """Do something in a copy of this process, and say how that ended, as os.waitpid does."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(process, 0)[1]


def samples_of(volume_run: VolumeRun, folder: Path) -> list[dict[str, object]]:
    data, samples = volume_run.folder / "data" / "synthetic", []
    folder.mkdir()
    for path in sorted((data / "images").iterdir()):
        label = nibabel.load(data / "labels" / path.name)
        final = nibabel.Nifti1Image(2 * np.asarray(label.dataobj).astype(np.uint8), label.affine)
        nibabel.save(final, folder / path.name)
        samples.append({"id": path.name.removesuffix(".nii.gz"), "image": path, "label": folder / path.name})
    return samples


@pytest.mark.slow
def test_twenty_kills_at_writes_lose_nothing(volume_run: VolumeRun, tmp_path: Path):
    models, samples = tmp_path / "models", samples_of(volume_run, tmp_path / "finals")
    shutil.copytree(volume_run.folder / "models", models, ignore=shutil.ignore_patterns("retrained"))
    image = samples[0]["image"]

    def bundle(home: Path = models) -> CalibratedBundle:
        return CalibratedBundle(HIPPOCAMPUS, [home], "coat", overrides=SMALL)

    served, old = bundle(), bundle().predict(image).result
    kept = {path.name: path.read_bytes() for path in models.iterdir() if path.is_file()}
    note = tmp_path / "writes.txt"

    def undisturbed() -> None:
        lines: list[str] = []
        at_each_write(models, lambda _, what: lines.append(what))
        retrain(served, samples, max_epochs=1)
        note.write_text("\n".join(lines))

    assert in_a_copy(undisturbed) == 0
    writes = note.read_text().splitlines()
    new = bundle().predict(image).result
    assert new != old
    told = max(number for number, what in enumerate(writes, 1) if what.startswith("os.rename"))
    assert "current.txt" in writes[told - 1]
    shutil.rmtree(models / "retrained")
    # The last ones are those that matter most: the folder gets its name, and the pointer is moved to it.
    chosen = sorted(
        {*np.linspace(1, len(writes), KILLS - 6).astype(int).tolist(), *range(len(writes) - 5, len(writes) + 1)}
    )
    while len(chosen) < KILLS:
        chosen.append(next(number for number in range(1, len(writes)) if number not in chosen))
    for number in sorted(chosen):

        def killed(number: int = number) -> None:
            at_each_write(models, lambda count, _: os.kill(os.getpid(), signal.SIGKILL) if count == number else None)
            retrain(served, samples, max_epochs=1)

        # The numbers of an undisturbed run hold where nothing is left over that is removed first.
        shutil.rmtree(models / "retrained", ignore_errors=True)
        status = in_a_copy(killed)
        assert os.WIFSIGNALED(status), (number, writes[number - 1])
        assert bundle().predict(image).result == (old if number <= told else new), writes[number - 1]
        assert {path.name: path.read_bytes() for path in models.iterdir() if path.is_file()} == kept
        whole = [path for path in (models / "retrained").glob("*") if path.name.isdecimal()]
        for folder in whole:  # has its name, and nobody was told yet
            assert bundle(folder).predict(image).result["n"] == new["n"]
    assert whole  # the last kill was after that
    result = retrain(served, samples, max_epochs=1)
    assert result["models"] == "001"
    assert sorted(path.name for path in (models / "retrained").iterdir()) == [".lock", "000", "001", "current.txt"]
    assert bundle().predict(image).result["n"] == new["n"]
