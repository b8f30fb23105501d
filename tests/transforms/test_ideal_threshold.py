# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform, Transform

from monai_coat.functional import ideal_threshold
from monai_coat.transforms import IdealThreshold, IdealThresholdD, IdealThresholdd, IdealThresholdDict


@pytest.fixture
def image():
    return {"probs": torch.rand(2, 6, 5), "label": (torch.rand(2, 6, 5) > 0.5).float()}


def test_numbers_by_hand():
    # Of four foreground pixels one may be missed at 0.25: the second from below.
    probs, label = torch.tensor([[0.9, 0.8, 0.4, 0.3, 0.7]]), torch.tensor([[1, 1, 0, 1, 1]])
    assert IdealThreshold(0.25)(probs, label).tolist() == pytest.approx([0.7])
    assert IdealThreshold(0.24)(probs, label).tolist() == pytest.approx([0.3])


def test_it_is_the_function_class_by_class(image):
    found = IdealThreshold(0.1)(image["probs"], image["label"])
    assert torch.equal(found, ideal_threshold(image["probs"][None], image["label"][None], 0.1)[0])
    assert found.shape == (2,)


def test_without_foreground_there_is_none(image):
    image["label"][1] = 0
    found = IdealThreshold(0.1)(image["probs"], image["label"])
    assert [math.isnan(v) for v in found.tolist()] == [False, True]


@pytest.mark.parametrize("kind", [torch.as_tensor, MetaTensor, np.asarray])
def test_array_and_dictionary_form_agree(image, kind):
    data = {key: kind(value) for key, value in image.items()}
    result = IdealThresholdd("probs", 0.1)(data)
    found = result["probs_ideal_threshold"]
    assert torch.equal(found, IdealThreshold(0.1)(data["probs"], data["label"]))
    assert type(found) is torch.Tensor
    assert set(result) == {"probs", "label", "probs_ideal_threshold"}
    assert result["probs"] is data["probs"]
    assert set(data) == {"probs", "label"}


def test_several_keys_another_label_and_missing_keys(image):
    data = {"a": image["probs"], "b": 1 - image["probs"], "mask": image["label"]}
    result = IdealThresholdd(["a", "b"], 0.1, label_key="mask")(data)
    for key in ("a", "b"):
        assert torch.equal(result[f"{key}_ideal_threshold"], IdealThreshold(0.1)(data[key], data["mask"]))
    del data["b"]
    with pytest.raises(KeyError, match="b"):
        IdealThresholdd(["a", "b"], 0.1, label_key="mask")(data)
    some = IdealThresholdd(["a", "b"], 0.1, label_key="mask", allow_missing_keys=True)(data)
    assert set(some) == {"a", "mask", "a_ideal_threshold"}


@pytest.mark.parametrize("alpha", [0, 1, -0.5, 2.0])
def test_impossible_levels_are_refused(alpha):
    for make in (IdealThreshold, lambda alpha: IdealThresholdd("probs", alpha)):
        with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\), got"):
            make(alpha)


def test_shapes_must_agree(image):
    with pytest.raises(ValueError, match=r"must have the same shape"):
        IdealThreshold(0.1)(image["probs"], image["label"][:1])


def test_they_are_transforms_of_the_host(image):
    assert IdealThresholdD is IdealThresholdDict is IdealThresholdd
    mapped = IdealThresholdd("probs", 0.1)
    assert isinstance(IdealThreshold(0.1), Transform)
    assert isinstance(mapped, MapTransform)
    assert mapped.backend == IdealThreshold.backend
    found = Compose([pickle.loads(pickle.dumps(mapped))])(image)["probs_ideal_threshold"]
    assert torch.equal(found, mapped(image)["probs_ideal_threshold"])
