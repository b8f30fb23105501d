# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Stamps of files: everything that a change of a file leaves behind, and nothing that a move of the folder does."""

from __future__ import annotations

import os
import shutil

import pytest
import torch
from monai.data import PersistentDataset
from monai.inferers import SlidingWindowInferer
from monai.transforms import Compose, ScaleIntensityd

from monai_coat.data import file_stamps, hash_of_transforms, hash_with_files
from monai_coat.scorers import ThresholdPredictor
from monai_coat.transforms import MapSketchd, SegmenterProbsd


@pytest.fixture
def sample(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("image", "label"):
        (tmp_path / "data" / name).write_text("12")
    return {"id": "a", **{name: str(tmp_path / "data" / name) for name in ("image", "label")}}


@pytest.mark.parametrize("key", ["image", "label"])
def test_another_size_or_time_is_seen(sample, key):
    before = file_stamps([sample]), hash_with_files(sample)
    assert before == (file_stamps([sample]), hash_with_files(sample))
    os.utime(sample[key], ns=(0, 7))
    later = file_stamps([sample]), hash_with_files(sample)
    with open(sample[key], "a") as file:
        file.write("3")
    os.utime(sample[key], ns=(0, 7))
    longer = file_stamps([sample]), hash_with_files(sample)
    for one, other in ((before, later), (later, longer)):
        assert one[0] != other[0]
        assert one[1] != other[1]


def test_a_moved_folder_is_no_change(sample, tmp_path):
    before = file_stamps([sample])
    shutil.move(tmp_path / "data", tmp_path / "elsewhere")
    moved = {key: value.replace("data", "elsewhere") for key, value in sample.items()}
    assert file_stamps([moved]) == before


def test_a_cache_is_made_anew_where_a_file_changed(sample, tmp_path):
    def read(item):
        with open(item["label"]) as file:
            return file.read()

    def cached():
        return PersistentDataset([sample], read, tmp_path / "cache", hash_func=hash_with_files)[0]

    assert cached() == "12"
    with open(sample["label"], "w") as file:
        file.write("34")
    os.utime(sample["label"], ns=(0, 7))
    assert cached() == "34"


def maps(network, scale=1.0, inferer=None, **settings):
    return Compose(
        [ScaleIntensityd("image", factor=scale), SegmenterProbsd("image", network, "probs", inferer, **settings)]
    )


def test_a_cache_is_made_anew_where_a_transform_window_or_segmenter_changed(make_network, tmp_path):
    network, data = make_network(), [{"image": torch.rand(3, 16, 12)}]

    def is_as_fresh(transform):
        arguments = {"hash_func": hash_with_files, "hash_transform": hash_of_transforms}
        cached = PersistentDataset(data, transform, tmp_path, **arguments)[0]["probs"]
        return torch.equal(torch.as_tensor(cached), torch.as_tensor(transform(data[0])["probs"]))

    assert is_as_fresh(maps(network))
    assert is_as_fresh(maps(network, scale=-0.9))
    for roi_size in ((16, 8), (8, 8)):
        assert is_as_fresh(maps(network, inferer=SlidingWindowInferer(roi_size)))
    network.logit_temperature.fill_(3.0)
    assert is_as_fresh(maps(network))
    network.activation = "identity"
    assert is_as_fresh(maps(network))
    torch.nn.init.zeros_(network.segmenter[3].weight)
    assert is_as_fresh(maps(network))
    assert len(list(tmp_path.iterdir())) == 7


def test_a_scorer_in_training_devices_and_batches_of_windows_change_no_map(make_network):
    network = make_network()
    before = hash_of_transforms(maps(network, inferer=SlidingWindowInferer((8, 8))).transforms)
    torch.nn.init.zeros_(network.scorer.predictor.head[0].weight)
    window = SlidingWindowInferer((8, 8), sw_batch_size=3, progress=True)
    assert hash_of_transforms(maps(network, inferer=window, device=torch.device("cpu")).transforms) == before


def test_sketches_know_what_is_read_of_a_map_and_not_the_weights_that_read():
    def hashed(points=512, **settings):
        predictor = ThresholdPredictor(2, 3, backbone="none", **settings)
        return hash_of_transforms([MapSketchd("probs", predictor, points=points)])

    assert hashed() == hashed()
    assert len({hashed(), hashed(points=64), hashed(input_size=32), hashed(num_classes=2)}) == 4


def test_a_slice_of_a_series_that_was_replaced_is_seen(tmp_path):
    """In its place: the folder's own time does not change then."""
    series = tmp_path / "series"
    series.mkdir()
    for name in ("1", "2"):
        (series / name).write_text("12")
    sample = {"image": str(series)}
    before = file_stamps([sample])
    assert [name for name, _, _ in before] == ["series/1", "series/2"]
    (series / "2").write_text("123")
    assert file_stamps([sample]) != before
