# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import itertools
import json
from collections import Counter

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import LoadImage

from monai_coat.data import check_readable, load_datalist, partition, synthetic_images, write_synthetic_dataset


@pytest.mark.parametrize("size", [(16, 24), (8, 10, 12)])
def test_files_hold_the_generated_images(tmp_path, size):
    write_synthetic_dataset(tmp_path, count=3, spatial_size=size, seed=4)
    samples = load_datalist(tmp_path, "synthetic")
    check_readable(samples)
    load = LoadImage(image_only=True, ensure_channel_first=True)
    wanted = synthetic_images(3, size, seed=4, channels=3 if len(size) == 2 else 1)
    for sample, expected in zip(samples, wanted, strict=True):
        image, label = (load(sample[key]).as_tensor() for key in ("image", "label"))
        if len(size) == 2:  # the host reads PNG as (C, W, H) and 8-bit
            image, label = image.transpose(1, 2) / 255, label.transpose(1, 2) / 255
        torch.testing.assert_close(image, expected["image"], atol=0.5 / 255 + 1e-6, rtol=0)
        assert torch.equal(label, expected["label"])


def test_groups_are_runs_of_one_to_three_neighbours(tmp_path):
    write_synthetic_dataset(tmp_path, count=60, spatial_size=(8, 8))
    groups = [sample["group"] for sample in load_datalist(tmp_path, "synthetic")]
    sizes = Counter(groups)
    assert set(sizes.values()) == {1, 2, 3}
    assert len(sizes) == 1 + sum(one != other for one, other in itertools.pairwise(groups))


def test_writing_again_overwrites(tmp_path):
    write_synthetic_dataset(tmp_path, count=4, spatial_size=(8, 8), seed=0)
    before = load_datalist(tmp_path, "synthetic")
    write_synthetic_dataset(tmp_path, count=2, spatial_size=(8, 8), seed=0)
    assert load_datalist(tmp_path, "synthetic") == before[:2]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["datasets.json"]


def test_description_has_the_layout_of_the_real_collection(tmp_path):
    write_synthetic_dataset(tmp_path, count=20, spatial_size=(8, 12))
    content = json.loads((tmp_path / "datasets.json").read_text())
    assert set(content) == {"format", "part", "sources", "prediction_models", "samples"}
    assert content["samples"][0]["size"] == [12, 8]  # width, height
    assert content["samples"][0]["mask"] == "synthetic/masks/synthetic_0000.png"
    assert len(partition(load_datalist(tmp_path, "synthetic")).test) > 0


def test_two_classes_are_the_front_and_the_back_of_the_foreground(tmp_path):
    write_synthetic_dataset(tmp_path / "one", count=3, spatial_size=(16, 20, 12), seed=4)
    write_synthetic_dataset(tmp_path / "two", count=3, spatial_size=(16, 20, 12), seed=4, classes=2)
    for path in sorted((tmp_path / "one").glob("*/labels/*")):
        one = np.asarray(nibabel.load(path).dataobj)
        two = np.asarray(nibabel.load(tmp_path / "two" / path.relative_to(tmp_path / "one")).dataobj)
        assert np.array_equal(one > 0, two > 0)
        assert set(np.unique(two)) == {0, 1, 2}
        assert np.argwhere(two == 1)[:, 1].max() < np.argwhere(two == 2)[:, 1].min()


@pytest.mark.parametrize(("size", "classes"), [((16, 16), 2), ((16, 16, 16), 3)])
def test_classes_are_for_volumes_and_at_most_two(tmp_path, size, classes):
    with pytest.raises(ValueError, match=f"classes must be 1, or 2 for volumes, got {classes} for {len(size)} axes"):
        write_synthetic_dataset(tmp_path, count=1, spatial_size=size, classes=classes)
    assert not list(tmp_path.iterdir())
