# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The data of a comparison: parts that do not overlap, and nothing kept that was made of something else."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from PIL import Image

from monai_coat.comparison import ComparisonData, protocol_of_folder
from monai_coat.comparison.data import comparison_data, own_folder, segmenters
from monai_coat.data.groups import group_of


@pytest.fixture
def data(tiny, tmp_path):
    return ComparisonData(tiny(), tmp_path / "out")


def groups_of(ids, data):
    group = {sample["id"]: group_of(sample) for sample in data.samples("generated")}
    return {group[name] for name in ids}


def test_training_images_and_pool_are_disjoint_by_group(data):
    (repeat,) = data.repeats("generated", "layer")
    assert not set(repeat.train.ids) & set(repeat.pool.ids)
    assert not groups_of(repeat.train.ids, data) & groups_of(repeat.pool.ids, data)


def test_halves_of_the_base_images_are_predicted_by_segmenters_that_have_not_seen_them(data, monkeypatch):
    learned, predicted = {}, {}
    train, write = segmenters.train_segmenter, segmenters.write_logits

    def train_recorded(protocol, network, images, epochs, folder):
        learned[folder] = set(images.ids)
        return train(protocol, network, images, epochs, folder)

    def write_recorded(segmenter, images, path):
        predicted.setdefault(path.parent, set()).update(images.ids)
        write(segmenter, images, path)

    monkeypatch.setattr(comparison_data, "train_segmenter", train_recorded)
    monkeypatch.setattr(comparison_data, "write_logits", write_recorded)
    plain, crossed = data.repeats("generated", "layer")[0], data.repeats("generated", "layer", True)[0]
    assert plain.pool.ids == crossed.pool.ids
    assert set(plain.train.ids) < set(crossed.train.ids)
    assert not set(crossed.train.ids) & set(crossed.pool.ids)
    assert len(set(crossed.train.ids)) == len(crossed.train.ids)
    assert len(learned) == len(predicted) == 3
    for folder, ids in predicted.items():
        assert not ids & learned[folder]
        assert not groups_of(ids, data) & groups_of(learned[folder], data)


def test_a_study_never_looks_beyond_the_images_that_thresholds_are_learned_from(data, tiny, tmp_path):
    allowed = set(data.repeats("generated", "layer")[0].train.ids)
    repeats = ComparisonData(tiny(study=True, repeats=3), tmp_path / "out").repeats("generated", "layer")
    pools = [set(repeat.pool.ids) for repeat in repeats]
    assert set().union(*pools) == allowed
    assert sum(map(len, pools)) == len(allowed)
    assert all(set(repeat.train.ids) == allowed - pool for repeat, pool in zip(repeats, pools, strict=True))


@pytest.fixture
def own(tiny, write_maps):
    """Somebody's maps, two of them nearly alike, with images."""
    folder = write_maps(40)
    (folder / "images").mkdir()
    for number in range(40):
        pixels = np.random.default_rng(number % 39).integers(0, 256, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
    return folder, tiny(repeats=4, fractions=[0, 0.5, 0.25, 0.25])


def test_maps_of_one_s_own_are_learned_from_or_tested_on_and_near_repeats_stay_together(own, tmp_path):
    folder, protocol = own
    of_folder = protocol_of_folder(protocol, folder / "maps", folder / "masks", folder / "images")
    data = ComparisonData(of_folder, tmp_path / "out")
    group = {sample["id"]: sample["group"] for sample in data.samples("yours")}
    assert group["0"] == group["39"]
    repeats = data.repeats("yours", "saved maps")
    assert len(repeats) == 4
    for repeat in repeats:
        assert not set(repeat.train.ids) & set(repeat.pool.ids)
        assert not {group[name] for name in repeat.train.ids} & {group[name] for name in repeat.pool.ids}


def test_what_is_kept_is_used_again_and_only_for_the_same_files(own, tmp_path):
    folder, protocol = own
    of_folder = protocol_of_folder(protocol, folder / "maps", folder / "masks", None)

    def maps_of(name):
        data = ComparisonData(of_folder, tmp_path / "out")
        (images,) = (data.repeats("yours", "saved maps")[0],)
        both = images.train.joined(images.pool)
        return both.label[both.ids.index(name)], both.probs[both.ids.index(name)]

    label, probs = maps_of("5")
    kept = set((tmp_path / "out" / "images").iterdir())
    maps_of("5")
    assert set((tmp_path / "out" / "images").iterdir()) == kept
    Image.fromarray(np.full((32, 32), 255, np.uint8)).save(folder / "masks" / "5.png")
    Image.fromarray(np.full((32, 32), 51, np.uint8)).save(folder / "maps" / "5.png")
    new_label, new_probs = maps_of("5")
    assert not label.all()
    assert new_label.all()
    assert not torch.equal(probs, new_probs)
    assert torch.allclose(new_probs, torch.full((1, 32, 32), 0.2), rtol=0, atol=1e-7)


def test_files_that_change_while_they_are_read_are_named(own, tmp_path, monkeypatch):
    folder, protocol = own
    data = ComparisonData(protocol_of_folder(protocol, folder / "maps", folder / "masks", None), tmp_path / "out")
    load = own_folder.load_folder_images

    def load_and_change(*arguments):
        images = load(*arguments)
        Image.fromarray(np.full((32, 32), 255, np.uint8)).save(folder / "masks" / "5.png")
        return images

    monkeypatch.setattr(own_folder, "load_folder_images", load_and_change)
    with pytest.raises(ValueError, match=r"files of .*maps must not change while they are read"):
        data.repeats("yours", "saved maps")
    assert not list((tmp_path / "out" / "images").iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"batch_size": 4},
        {"learning_rate": 0.001},
        {
            "networks": {
                "layer": {
                    "_target_": "torch.nn.Conv2d",
                    "in_channels": 3,
                    "out_channels": 1,
                    "kernel_size": 3,
                    "padding": 1,
                }
            }
        },
        {"datasets": {"generated": {"generate": {"count": 100, "spatial_size": [32, 32]}, "epochs": 2}}},
        "version",
        "mask",
    ],
    ids=str,
)
def test_segmenters_are_trained_again_if_anything_is_another(data, tiny, tmp_path, monkeypatch, change):
    data.repeats("generated", "layer")
    before = set((tmp_path / "out" / "segmenters").iterdir())
    ComparisonData(tiny(), tmp_path / "out").repeats("generated", "layer")
    assert set((tmp_path / "out" / "segmenters").iterdir()) == before
    if change == "version":
        monkeypatch.setattr(comparison_data.monai_coat, "__version__", "99.0.0")
    elif change == "mask":
        Image.fromarray(np.full((32, 32), 255, np.uint8)).save(data.samples("generated")[0]["label"])
    protocol = tiny(**change) if isinstance(change, dict) else tiny()
    ComparisonData(protocol, tmp_path / "out").repeats("generated", "layer")
    assert len(set((tmp_path / "out" / "segmenters").iterdir()) - before) == 1


def test_a_trained_segmenter_is_loaded_and_a_log_says_how_long_training_takes(data, caplog, monkeypatch):
    caplog.set_level("INFO", "monai_coat")
    data.repeats("generated", "layer")
    assert re.search(r"segmenter layer: epoch 1 of 1", caplog.text)
    for path in (data.folder / "segmenters").rglob("*.npy"):
        path.unlink()
    monkeypatch.setattr(segmenters, "_trainer", lambda *_: pytest.fail("a trained segmenter was trained again"))
    ComparisonData(data.protocol, data.folder).repeats("generated", "layer")
