# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Digests of settings: another with every setting that matters, and the same for what was made alike, anywhere."""

from __future__ import annotations

import copy
import functools
import operator
import pickle
import re
from enum import Enum
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import NibabelReader
from monai.transforms import LoadImaged, RandFlipd
from torch import nn

from monai_coat.calibration import PipelineIdentity, identity_of
from monai_coat.calibration.settings import digest_of_settings
from monai_coat.networks import AdaptiveSegmenter
from tests.calibration.pipelines import SETTINGS, pipeline

CHANGES = {
    "reader": NibabelReader(as_closest_canonical=True),
    "axcodes": "LPS",
    "pixdim": (1.0, 1.0, 2.5),
    "mode": "nearest",
    "a_max": 254,
    "factor": 2.5,
    "channels": {"blue", "green"},
    "size": (16, 16, 16),
    "nonzero": False,
    "roi_size": (8, 8, 16),
    "overlap": 0.5,
    "window": "gaussian",
    "nearest_interp": True,
}
PARTS = {"roi_size": ["inferer"], "overlap": ["inferer"], "window": ["inferer"], "nearest_interp": ["restore"]}


def test_a_pipeline_made_alike_is_the_same():
    assert digest_of_settings(pipeline()) == digest_of_settings(pipeline())
    assert digest_of_settings(copy.deepcopy(pipeline())) == digest_of_settings(pipeline())
    assert re.fullmatch("[0-9a-f]{64}", digest_of_settings(pipeline()))


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_counts_and_is_told_by_its_part(name):
    assert SETTINGS[name] != CHANGES[name]
    before, after = identity_of(pipeline=pipeline()), identity_of(pipeline=pipeline(**{name: CHANGES[name]}))
    # What brings a map back holds the transforms that it undoes.
    assert before.differences(after) == PARTS.get(name, ["preprocessing", "restore"])


def test_fewer_or_turned_transforms_count():
    whole = pipeline()["preprocessing"].transforms
    digests = {digest_of_settings(part) for part in (whole, whole[:-1], whole[1:], whole[::-1])}
    assert len(digests) == 4


@pytest.mark.parametrize(
    "without_effect",
    [
        {"sw_batch_size": 7},
        {"progress": True},
        {"device": torch.device("cpu")},
        {"device": "cpu", "sw_device": torch.device("meta")},
        {"cpu_thresh": 5},
        {"cache_roi_weight_map": True},
        {"buffer_steps": 2, "buffer_dim": 0},
    ],
)
def test_where_and_how_fast_it_runs_plays_no_part(without_effect):
    for append_probs in (False, True):
        assert identity_of(pipeline=pipeline(without_effect, append_probs)) == identity_of(pipeline=pipeline())


def test_having_been_used_plays_no_part(tmp_path):
    nib.save(nib.Nifti1Image(np.arange(512, dtype=np.float32).reshape(8, 8, 8), np.eye(4)), tmp_path / "a.nii.gz")
    parts, before = pipeline(), digest_of_settings(pipeline())
    data = parts["preprocessing"]({"image": tmp_path / "a.nii.gz"})
    network = AdaptiveSegmenter(nn.Conv3d(1, 1, 1))
    data["pred"] = parts["inferer"](data["image"][None], network)[0]
    assert parts["restore"](data)["pred"].shape == (1, 8, 8, 8)
    assert digest_of_settings(parts) == before
    assert digest_of_settings(pickle.loads(pickle.dumps(parts["inferer"]))) == digest_of_settings(parts["inferer"])


def test_readers_of_other_libraries_play_no_part_and_settings_of_readers_do():
    class ITKReader:
        """Of a library that is installed on one machine and not on the other."""

    for settings in ({}, {"reader": "NibabelReader"}):
        loader, other = LoadImaged("image", **settings), LoadImaged("image", **settings)
        other._loader.readers.insert(0, ITKReader())
        assert digest_of_settings(other) == digest_of_settings(loader)
        canonical = LoadImaged("image", as_closest_canonical=True, **settings)
        assert digest_of_settings(canonical) != digest_of_settings(loader)


def test_random_state_plays_no_part():
    first, second = (RandFlipd("image", prob=0.5).set_random_state(seed) for seed in (0, 1))
    assert digest_of_settings(first) == digest_of_settings(second)
    assert digest_of_settings(RandFlipd("image", prob=0.4)) != digest_of_settings(first)


def shifted(by):
    return lambda image: image + by


def with_default(by):
    return lambda image, by=by: image + by


class Mode(Enum):
    ONE, TWO = 1, 2


class Slots:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


PAIRS = {
    "constants": (lambda x: x * 2, lambda x: x * 3),
    "operators": (lambda x: x > 0.5, lambda x: x < 0.5),
    "more operators": (lambda x: x + 2, lambda x: x * 2),
    "names": (lambda x: x.min(), lambda x: x.max()),
    "slices": (lambda x: x[1:], lambda x: x[:1]),
    "keywords": (lambda x: x.sum(dim=1), lambda x: x.sum(axis=1)),
    "constants within": (lambda x: [y * 2 for y in x], lambda x: [y * 3 for y in x]),
    "sets of text": (lambda x: x in {"a", "b"}, lambda x: x in {"a", "c"}),
    "what is enclosed": (shifted(1), shifted(2)),
    "defaults": (with_default(1), with_default(2)),
    "keyword defaults": (lambda *x, by=1: by, lambda *x, by=2: by),
    "functions": (np.sqrt, np.exp),
    "functions with a name": (shifted, with_default),
    "partials": (functools.partial(torch.clamp, min=0), functools.partial(torch.clamp, min=1)),
    "numbers": (1.0, 1.5),
    "signs of zero": (0.0, -0.0),
    "types": (1, 1.0),
    "truth": (1, True),
    "text": ("a", "b"),
    "bytes": (b"a", b"b"),
    "enumerations": (Mode.ONE, Mode.TWO),
    "classes": (nn.ReLU, nn.GELU),
    "precisions": (torch.float32, torch.float64),
    "arrays": (np.arange(3), np.arange(1, 4)),
    "tensors": (torch.zeros(2, 3), torch.zeros(3, 2)),
    "files": (Path("a/weights.pt"), Path("a/other.pt")),
    "cuts": (slice(0, 5), slice(0, 6)),
    "ranges": (range(3), range(4)),
    "patterns": (re.compile("a"), re.compile("b")),
    "items": (operator.itemgetter("a"), operator.itemgetter("b")),
    "slots": (Slots(1), Slots(2)),
    "complex numbers": (1j, 2j),
    "methods": (nn.Identity().train, nn.Identity().eval),
    "layers": (nn.LeakyReLU(0.1), nn.LeakyReLU(0.2)),
    "nothing": (None, 0),
}


@pytest.mark.parametrize(("one", "other"), PAIRS.values(), ids=PAIRS)
def test_what_differs_has_another_digest_wherever_it_stands(one, other):
    for wrapped in (lambda x: x, lambda x: [x], lambda x: {"a": (x,)}, lambda x: functools.partial(print, x)):
        assert digest_of_settings(wrapped(one)) == digest_of_settings(wrapped(one))
        assert digest_of_settings(wrapped(one)) != digest_of_settings(wrapped(other))


def test_functions_made_alike_are_the_same():
    assert digest_of_settings(shifted(1)) == digest_of_settings(shifted(1))
    again = eval("lambda image: image.convert('RGB')")  # as a bundle's config makes them
    assert digest_of_settings(again) == digest_of_settings(lambda image: image.convert("RGB"))


def test_sets_and_dictionaries_have_no_order():
    assert digest_of_settings({"a", "b"}) == digest_of_settings({"b", "a"})
    assert digest_of_settings({"a": 1, "b": 2}) == digest_of_settings({"b": 2, "a": 1})


def test_folders_devices_and_generators_play_no_part():
    assert digest_of_settings(Path("a/weights.pt")) == digest_of_settings(Path("b/weights.pt"))
    assert digest_of_settings(torch.device("cpu")) == digest_of_settings(torch.device("meta"))
    assert digest_of_settings(torch.Generator().manual_seed(1)) == digest_of_settings(torch.Generator())
    assert digest_of_settings(np.random.default_rng(1)) == digest_of_settings(np.random.default_rng(2))


def test_what_holds_itself_comes_to_an_end():
    first, second = [1], [2]
    first.append(first)
    second.append(second)
    assert digest_of_settings(first) != digest_of_settings(second)
    assert digest_of_settings(copy.deepcopy(first)) == digest_of_settings(first)


def test_an_object_may_say_what_counts():
    class Cached:
        def __init__(self, size):
            self.size, self.cache = size, object()

        def identity_settings(self):
            return {"size": self.size}

    assert digest_of_settings(Cached(1)) == digest_of_settings(Cached(1)) != digest_of_settings(Cached(2))


def test_a_copy_and_a_pickle_are_the_same():
    parts = [Slots(1), nn.Conv2d(1, 1, 1), re.compile("a"), operator.itemgetter("a"), np.float32(1)]
    for part in parts:
        assert digest_of_settings(copy.deepcopy(part)) == digest_of_settings(part)
        assert digest_of_settings(pickle.loads(pickle.dumps(part))) == digest_of_settings(part)


def test_parts_that_only_one_names_are_not_compared():
    named, other = PipelineIdentity({}, {"inferer": "digest a"}), PipelineIdentity({}, {"preprocessing": "digest b"})
    assert named.differences(other) == []
    assert named.differences(PipelineIdentity({}, {"inferer": "digest b", "preprocessing": "digest b"})) == ["inferer"]
