# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Label maps as masks."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from monai_coat.transforms import ClassMasks, ClassMasksd


def test_each_class_has_its_channel_and_metadata_stays():
    label = MetaTensor(torch.tensor([[[0.0, 1.0], [2.0, 2.0]]]), affine=torch.diag(torch.tensor([2.0, 2, 2, 1])))
    masks = ClassMasks((2, 1))(label)
    assert masks.tolist() == [[[0, 0], [1, 1]], [[0, 1], [0, 0]]]
    assert torch.equal(masks.affine, label.affine)


def test_the_dictionary_form_leaves_the_rest_alone():
    data = {"label": torch.tensor([[1, 0]]), "image": "kept"}
    result = ClassMasksd("label", (1,))(data)
    assert result["label"].tolist() == [[1, 0]]
    assert result["image"] == "kept"
    assert data["label"].dtype == torch.int64
    assert ClassMasksd("label", (1,), allow_missing_keys=True)({"image": 1}) == {"image": 1}


@pytest.mark.parametrize("values", [(), (1, 1), (0, 1)])
def test_wrong_classes_are_refused(values):
    with pytest.raises(ValueError, match="values must be distinct labels other than 0"):
        ClassMasks(values)


@pytest.mark.parametrize("value", [3.0, 0.5, float("nan"), -1.0])
def test_a_value_that_is_no_class_is_not_background(value):
    with pytest.raises(ValueError, match=f"label must hold 0 and 1, 2, got {value:g}"):
        ClassMasks((1, 2))(torch.tensor([[0.0, value, 2.0]]))


def test_masks_are_no_label_map():
    with pytest.raises(ValueError, match="label must have one channel of class values, got 2"):
        ClassMasks((1, 2))(torch.zeros(2, 4))


@pytest.mark.parametrize(("dtype", "largest"), [(torch.float32, 2**24), (torch.float16, 2**11), (torch.bfloat16, 2**8)])
def test_a_type_that_merges_labels_is_refused(dtype, largest):
    """From this number on it and its neighbour are the same in the type; integers keep them apart."""
    assert torch.tensor(largest).to(dtype) == torch.tensor(largest + 1).to(dtype)
    assert torch.tensor(largest - 1).to(dtype) != torch.tensor(largest - 2).to(dtype)
    label = torch.tensor([[largest, largest + 1, 0]])
    with pytest.raises(ValueError, match=rf"label's type tells apart, got {largest} for {dtype}"):
        ClassMasks((1, largest))(label.to(dtype))
    assert ClassMasks((largest, largest + 1))(label).tolist() == [[1, 0, 0], [0, 1, 0]]
    below = torch.tensor([[largest - 1, largest - 2, 0]])
    assert ClassMasks((largest - 1, largest - 2))(below.to(dtype)).tolist() == [[1, 0, 0], [0, 1, 0]]
