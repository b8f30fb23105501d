# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The studies keep what they have, whole, and take in what has a name of its own."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed; make label-test has an environment with it")

from monailabel.interfaces.exception import ImageNotFoundException
from starlette.exceptions import HTTPException

from monai_coat.apps.label.datastore import StudiesDatastore


def make(folder: Path, **settings) -> StudiesDatastore:
    def check(label: Path, image: Path) -> None:
        if label.read_bytes() == b"bad":
            raise ValueError(f"label must be good, got {label} of {image.name}.")

    return StudiesDatastore(str(folder), check, extensions=["*.nii", "*.nii.gz", "*.png"], **settings)


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "a.nii.gz").write_bytes(b"image")
    return folder


@pytest.fixture
def label(tmp_path: Path):
    def write(content: bytes, name: str = "label.nii") -> str:
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return write


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("tag", ["../x", "/tmp/x", "", ".x", "a/b", None, 5])
def test_tags_that_lead_out_are_refused_here_too(studies, label, tag):
    store = make(studies)
    before = files(studies.parent)
    with pytest.raises(HTTPException, match="tag must be a word"):
        store.save_label("a", label(b"x"), tag, {})
    assert files(studies.parent) | {"label.nii": b"x"} == before | {"label.nii": b"x"}


def test_images_and_endings_that_are_none_are_refused_here_too(studies, label):
    store = make(studies)
    for name in ("../b", "/tmp/b", "a\0", ".b", "x" * 300):
        with pytest.raises(HTTPException, match="image must be"):
            store.add_image(name, label(b"x"), {})
    with pytest.raises(HTTPException, match="one of the endings"):
        store.add_image("b", label(b"x", "evil.py"), {})
    with pytest.raises(HTTPException, match="one of the endings"):
        store.save_label("a", label(b"x", "evil.py"), "final", {})
    with pytest.raises(HTTPException, match="image must have a name that is not taken, got 'a'"):
        store.add_image("a", label(b"x"), {})
    with pytest.raises(ImageNotFoundException):
        store.save_label("nobody", label(b"x"), "final", {})
    assert (studies / "a.nii.gz").read_bytes() == b"image"


def test_a_bad_final_label_leaves_the_one_before(studies, label):
    store = make(studies)
    store.save_label("a", label(b"good"), "final", {})
    before = files(studies)
    with pytest.raises(HTTPException, match=r"400: label must be good, got the label of a of a.nii.gz"):
        store.save_label("a", label(b"bad"), "final", {})
    assert files(studies) == before
    store.save_label("a", label(b"bad"), "draft", {})  # nothing is learned from drafts
    assert store.get_label_info("a", "final")["name"] == "a.nii"


def test_a_label_of_another_ending_takes_the_place_of_the_one_before(studies, label):
    store = make(studies)
    store.save_label("a", label(b"one"), "final", {})
    store.save_label("a", label(b"two", "label.nii.gz"), "final", {})
    assert [path.name for path in (studies / "labels" / "final").iterdir()] == ["a.nii.gz"]
    assert Path(make(studies).get_label_uri("a", "final")).read_bytes() == b"two"


def test_what_was_written_is_known_to_the_next_one_and_to_one_that_watches(studies, label):
    watching, store = make(studies, auto_reload=True), make(studies)
    store.save_label("a", label(b"one"), "final", {"note": "x"})
    store.update_image_info("a", {"score": 0.5})
    assert (
        json.loads((studies / "datastore_v2.json").read_text())["objects"]["a"]["labels"]["final"]["info"]["note"]
        == "x"
    )
    for _ in range(300):
        if watching.get_image_info("a").get("score") == 0.5:
            break
        time.sleep(0.05)
    assert watching.get_image_info("a")["score"] == 0.5
    assert watching.get_labeled_images() == ["a"]
    watching._observer.stop()
    watching._observer.join()
    assert [path.name for path in studies.iterdir() if path.name.endswith(".tmp")] == []


def test_a_full_disk_keeps_labels_and_the_list_of_them(studies, label, monkeypatch):
    store = make(studies)
    store.save_label("a", label(b"one"), "final", {})
    before = files(studies)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError, match="No space"):
        store.save_label("a", label(b"two"), "final", {})
    monkeypatch.undo()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.update_image_info("a", {"score": 1})
    monkeypatch.undo()
    assert files(studies) == before
    assert make(studies).get_labeled_images() == ["a"]
