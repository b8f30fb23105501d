# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import gzip
import json
import os
import shutil
import unicodedata

import nibabel
import numpy as np
import pytest
from PIL import Image

from monai_coat.data import check_readable, data_directory, folder_datalist, load_datalist, write_synthetic_dataset


@pytest.fixture
def collection(tmp_path):
    """A collection of four images, two of which have a saved map of the network 'net'."""
    write_synthetic_dataset(tmp_path, count=4, spatial_size=(16, 24))
    path = tmp_path / "datasets.json"
    content = json.loads(path.read_text())
    for sample, source in zip(content["samples"], ("one", "one", "two", "two"), strict=True):
        sample["source"] = source
    for sample in content["samples"][1:3]:
        place = f"synthetic/predictions/net/{sample['id']}.png"
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / sample["mask"], tmp_path / place)
        sample["predictions"] = {"net": place}
    path.write_text(json.dumps(content))
    return tmp_path


def write_image(path, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size).save(path)
    return path


def test_samples_of_a_domain(collection):
    samples = load_datalist(collection, "synthetic")
    assert [sample["id"] for sample in samples] == [f"synthetic_{i:04}" for i in range(4)]
    assert set(samples[0]) == {"id", "image", "label", "group", "source", "empty"}
    assert samples[0]["image"] == str(collection.absolute() / "synthetic/images/synthetic_0000.png")
    assert samples[0]["label"] == str(collection.absolute() / "synthetic/masks/synthetic_0000.png")
    assert samples[0]["empty"] is False


def test_sources_and_model_select(collection):
    assert [s["source"] for s in load_datalist(collection, "synthetic", sources="two")] == ["two", "two"]
    assert len(load_datalist(collection, "synthetic", sources=["one", "two"])) == 4
    (sample,) = load_datalist(collection, "synthetic", sources=["one"], model="net")
    assert sample["probs"].endswith("predictions/net/synthetic_0001.png")
    check_readable([sample])


def test_unknown_names_are_refused_and_the_known_ones_listed(collection):
    with pytest.raises(ValueError, match=r"domain must be among .*got \['lung'\]; there is: 'synthetic'"):
        load_datalist(collection, "lung")
    with pytest.raises(ValueError, match=r"sources must be among .*got \['three'\]; there is: 'one', 'two'"):
        load_datalist(collection, "synthetic", sources=["one", "three"])
    with pytest.raises(ValueError, match=r"model must be among .*got \['other'\]; there is: 'net'"):
        load_datalist(collection, "synthetic", model="other")
    with pytest.raises(ValueError, match=r"sources must be among .*got \[\]"):
        load_datalist(collection, "synthetic", sources=[])


def test_missing_files_are_named(collection, tmp_path):
    (collection / "synthetic/masks/synthetic_0002.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"got none at .*synthetic_0002\.png \(1 of 8 missing\)"):
        load_datalist(collection, "synthetic")
    (collection / "datasets.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"root/datasets\.json must be a file, got .*; root must be the folder"):
        load_datalist(collection, "synthetic")
    with pytest.raises(FileNotFoundError, match=r"root must be a folder, got .*nowhere"):
        load_datalist(tmp_path / "nowhere", "synthetic")


def test_plain_folders_are_matched_by_name(tmp_path):
    for name in ("b.jpg", "a.PNG", "c.tif"):
        write_image(tmp_path / "images" / name)
    for name in ("a.png", "b.png", "c.png"):
        write_image(tmp_path / "masks" / name)
    for name in ("notes.txt", ".hidden.png"):
        (tmp_path / "images" / name).write_text("no image")
    (tmp_path / "images" / "folder").mkdir()
    samples = folder_datalist(tmp_path / "images", tmp_path / "masks")
    assert [(s["id"], s["group"]) for s in samples] == [("a", "a"), ("b", "b"), ("c", "c")]
    assert samples[0]["image"] == str(tmp_path / "images" / "a.PNG")
    assert samples[1]["label"] == str(tmp_path / "masks" / "b.png")
    check_readable(samples)
    unlabelled = folder_datalist(tmp_path / "images")
    assert unlabelled == [{k: v for k, v in sample.items() if k != "label"} for sample in samples]


@pytest.mark.parametrize("kind", ["link", "loop", "folder", "pipe"])
def test_what_is_no_file_is_named_and_not_left_out(tmp_path, kind):
    write_image(tmp_path / "a.png")
    entry = tmp_path / "b.png"
    if kind == "folder":
        entry.mkdir()
    elif kind == "pipe":
        os.mkfifo(entry)
    else:
        entry.symlink_to(entry if kind == "loop" else tmp_path / "annex-object")
    with pytest.raises(FileNotFoundError, match=r"images must hold files, got .*b\.png, which is"):
        folder_datalist(tmp_path)


def test_names_match_however_accents_are_written(tmp_path):
    write_image(tmp_path / "images" / (unicodedata.normalize("NFC", "f\u00e9e") + ".png"))
    write_image(tmp_path / "masks" / (unicodedata.normalize("NFD", "f\u00e9e") + ".png"))
    assert [sample["id"] for sample in folder_datalist(tmp_path / "images", tmp_path / "masks")] == ["f\u00e9e"]


def test_double_endings_of_volumes_are_no_part_of_the_name(tmp_path):
    write_synthetic_dataset(tmp_path, count=2, spatial_size=(8, 9, 10))
    samples = folder_datalist(tmp_path / "synthetic/images", tmp_path / "synthetic/labels")
    assert [sample["id"] for sample in samples] == ["synthetic_0000", "synthetic_0001"]
    check_readable(samples)


def test_folders_that_do_not_fit_are_refused(tmp_path):
    images, masks = tmp_path / "images", tmp_path / "masks"
    with pytest.raises(FileNotFoundError, match=r"images must be a folder, got .*images, which does not exist"):
        folder_datalist(images, masks)
    write_image(images / "a.png")
    masks.mkdir()
    with pytest.raises(FileNotFoundError, match=r"masks, which contains no image files \(looked for \.png, \.jpg"):
        folder_datalist(images, masks)
    write_image(masks / "b.png")
    with pytest.raises(
        FileNotFoundError, match=r"labels must hold a counterpart .*images.a\.png in .*\(1 of 1 without"
    ):
        folder_datalist(images, masks)
    write_image(masks / "a.png")
    with pytest.raises(FileNotFoundError, match=r"images must hold a counterpart .*masks.b\.png in .*\(1 of 2 without"):
        folder_datalist(images, masks)
    write_image(images / "a.jpg")
    with pytest.raises(ValueError, match=r"images must have one file per name, got a\.jpg and a\.png in"):
        folder_datalist(images)
    with pytest.raises(ValueError, match=r"labels must be another folder than images"):
        folder_datalist(masks, masks)


def test_unreadable_files_are_named(tmp_path):
    image = write_image(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.nii.gz").write_bytes(b"no volume")
    (tmp_path / "d.nii").write_bytes(b"\0" * 400)
    for name in ("b.png", "c.nii.gz", "d.nii", "missing.png", "missing.nii"):
        with pytest.raises(ValueError, match=rf"label must be a readable image, got .*{name}"):
            check_readable([{"image": str(image), "label": str(tmp_path / name)}])


def test_different_sizes_are_named(tmp_path):
    image, label = write_image(tmp_path / "a.png", (8, 6)), write_image(tmp_path / "b.png", (6, 8))
    with pytest.raises(
        ValueError, match=r"label and image must have the same size, got \(6, 8\) of .*b\.png and \(8, 6\)"
    ):
        check_readable([{"image": str(image), "label": str(label)}])


def test_several_modalities_of_a_volume_are_no_difference_in_size(tmp_path):
    for name, shape in (("image", (4, 5, 6, 2)), ("label", (4, 5, 6))):
        nibabel.save(nibabel.Nifti1Image(np.zeros(shape, dtype=np.uint8), np.eye(4)), tmp_path / f"{name}.nii")
    check_readable([{key: str(tmp_path / f"{key}.nii") for key in ("image", "label")}])


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_volume_that_was_cut_short_is_named(tmp_path, name):
    volume = np.random.default_rng(0).integers(0, 255, (20, 20, 20)).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / name)
    check_readable([{"image": str(tmp_path / name)}])
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=rf"image must be a readable image, got .*{name}"):
        check_readable([{"image": str(tmp_path / name)}])


def test_a_compressed_volume_may_come_in_pieces(tmp_path):
    """Block-wise compression leaves several members, of which the last tells the size of itself alone."""
    nibabel.save(nibabel.Nifti1Image(np.ones((9, 9, 9), np.uint8), np.eye(4)), tmp_path / "a.nii")
    whole = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(whole[:500]) + gzip.compress(whole[500:]))
    check_readable([{"image": str(tmp_path / "a.nii.gz")}])


def test_data_directory_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("COAT_DATA_DIR", str(tmp_path))
    assert data_directory() == tmp_path
    monkeypatch.setenv("COAT_DATA_DIR", "")
    assert data_directory() is None
    monkeypatch.delenv("COAT_DATA_DIR")
    assert data_directory() is None
    monkeypatch.setenv("COAT_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"COAT_DATA_DIR must name a folder, got .*nowhere.*unset it"):
        data_directory()


def test_real_collection_can_be_read(tmp_path):
    root = data_directory()
    domains = ["polyp", "skin", "fire", "hippocampus"]
    if root is None:
        root, domains = tmp_path, ["synthetic"]
        write_synthetic_dataset(root, count=12, spatial_size=(16, 16))
    for domain in domains:
        samples = load_datalist(root, domain)
        assert len({sample["id"] for sample in samples}) == len(samples) > 0
        check_readable(samples[::20])
