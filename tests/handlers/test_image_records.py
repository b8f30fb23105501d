# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.handlers import from_engine

from monai_coat.handlers import ImageRecords, PackedMasks
from monai_coat.metrics import image_records

PAIR = from_engine(["pred", "label"])


@pytest.mark.parametrize("size", [(3,), (5, 7), (4, 3, 5), (8, 8)])
@pytest.mark.parametrize("classes", [1, 3])
def test_kept_masks_come_back_bit_by_bit(size, classes):
    mask, label = torch.rand(classes, *size) > 0.5, (torch.rand(classes, *size) > 0.5).float()
    kept = PackedMasks.of(mask, label)
    assert kept.packed.nbytes == math.ceil(2 * mask.numel() / 8)
    for found, expected in zip(kept.unpack(), (mask, label.bool()), strict=True):
        assert found.dtype == np.bool_
        np.testing.assert_array_equal(found, expected.numpy())


def run(evaluator, **options):
    ImageRecords(PAIR, **options).attach(evaluator)
    evaluator.run()
    return evaluator.state


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_records_are_those_of_the_prediction_sets(make_network, make_evaluator, images, classes, batch_size):
    network = make_network(num_classes=classes, cutoff=(0.05, 0.0)[:classes])
    for item in images:
        item["label"] = item["label"].repeat(classes, 1, 1)
    state = run(make_evaluator(network, images, batch_size), keep_masks=True)
    expected = []
    with torch.no_grad():
        for name, item in zip("abcde", images, strict=True):
            mask = network.prediction_set(item["image"][None])[0]
            expected += image_records(f"case_{name}", network(item["image"][None])[0], mask, item["label"])
            found, label = state.masks[f"case_{name}"].unpack()
            np.testing.assert_array_equal(found, mask.numpy())
            np.testing.assert_array_equal(label, item["label"].bool().numpy())
    assert len(state.records) == 5 * classes
    assert repr(state.records) == repr(expected)  # NaN equals NaN there


def named(images, names):
    for item, name in zip(images, names, strict=True):
        item["label"] = MetaTensor(item["label"].as_tensor(), meta={"filename_or_obj": name} if name else {})
    return images


@pytest.mark.parametrize("batch_size", [1, 2])
def test_names_are_those_of_the_label_files(make_network, make_evaluator, images, batch_size):
    names = ["in/zebra.nii.gz", "in/ape.png", "cow", "other/dog.v2.png", "in/bee.png"]
    state = run(make_evaluator(make_network(cutoff=(0.1,)), named(images, names), batch_size), keep_masks=True)
    assert [r.name for r in state.records] == ["ape", "bee", "cow", "dog.v2", "zebra"]
    assert set(state.masks) == {"ape", "bee", "cow", "dog.v2", "zebra"}
    assert [r.name for r in state.records if not r.foreground] == ["cow"]


def test_images_with_names_alike_are_told_apart(make_network, make_evaluator, images):
    names = [f"patient{i}/mask.nii.gz" for i in range(5)]
    state = run(make_evaluator(make_network(cutoff=(0.1,)), named(images, names)), keep_masks=True)
    assert [r.name for r in state.records] == ["mask", "mask#2", "mask#3", "mask#4", "mask#5"]
    assert [r.foreground for r in state.records] == [int(item["label"].sum()) for item in images]
    assert all(state.masks[r.name].unpack()[1].sum() == r.foreground for r in state.records)


def test_images_without_files_are_named_by_position(make_network, make_evaluator, images):
    for item in images:
        item["label"] = item["label"].as_tensor()
    for classes in (1, 2):
        for item in images:
            item["label"] = item["label"][:1].repeat(classes, 1, 1)
        state = run(make_evaluator(make_network(classes, cutoff=(0.1,) * classes), images), keep_masks=True)
        assert sorted(state.masks) == [f"{i:06d}" for i in range(5)]
        assert [r.foreground for r in state.records[::classes]] == [int(i["label"][0].sum()) for i in images]


def test_several_files_of_a_label_give_the_first_ones_name(plain_engine, make_network):
    plain_engine.network = make_network(cutoff=(0.1,))
    label = MetaTensor(torch.ones(1, 4, 4), meta={"filename_or_obj": ["a/one.png", "a/two.png"]})
    ImageRecords().attach(plain_engine)
    state = plain_engine.run([([torch.rand(1, 4, 4)], [label])])
    assert [r.name for r in state.records] == ["one"]


def test_masks_are_kept_only_if_asked_for(make_network, make_evaluator):
    assert run(make_evaluator(make_network(cutoff=(0.1,)))).masks == {}


def test_every_run_begins_anew(make_network, make_evaluator):
    evaluator = make_evaluator(make_network(cutoff=(0.1,)))
    first = run(evaluator, keep_masks=True).records
    evaluator.run()
    assert repr(evaluator.state.records) == repr(first)
    evaluator.network = make_network(cutoff=(-1.0,))
    evaluator.run()
    assert [r.set_size for r in evaluator.state.records] == [16 * 12] * 5


def test_an_uncalibrated_network_is_refused(make_network, make_evaluator):
    with pytest.raises(RuntimeError, match="network must be calibrated"):
        run(make_evaluator(make_network()))
