# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Labels of combinations of classes: nothing of a set is lost, whatever the classes do."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.transforms import CertaintyLabels


def test_labels_of_two_classes_by_hand():
    assert CertaintyLabels(("core", "tumour")).values == {
        "core certain": 1,
        "core possible": 2,
        "tumour certain": 3,
        "tumour possible": 4,
        "core certain, tumour certain": 5,
        "core certain, tumour possible": 6,
        "core possible, tumour certain": 7,
        "core possible, tumour possible": 8,
    }


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_sets_come_back_as_they_were(count, seed):
    generator = torch.Generator().manual_seed(seed)
    possible = torch.rand(count, 4, 5, generator=generator) < 0.6
    certain = possible & (torch.rand(count, 4, 5, generator=generator) < 0.5)
    labels = CertaintyLabels.of_count(count)
    encoded = labels.encode(possible, certain)
    assert encoded.dtype == torch.uint8
    assert torch.equal(labels.possible(encoded), possible)
    assert torch.equal(labels.certain(encoded), certain)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_every_combination_has_a_label_and_a_name_of_its_own(count):
    labels = CertaintyLabels.of_count(count)
    assert sorted(labels.values.values()) == list(range(1, 3**count))
    assert labels.dtype == (torch.uint8 if count <= 5 else torch.int32)


def test_what_is_certain_but_not_possible_is_neither():
    encoded = CertaintyLabels(("a",)).encode(torch.tensor([[False, True]]), torch.tensor([[True, True]]))
    assert encoded.tolist() == [0, 1]


@pytest.mark.parametrize("value", [3, -1, 0.5])
def test_a_label_of_other_classes_is_refused(value):
    with pytest.raises(ValueError, match="labels must be whole numbers from 0 to 2"):
        CertaintyLabels(("a",)).possible(torch.tensor([0.0, value]))


@pytest.mark.parametrize("classes", [(), ("a", "a"), tuple("abcdefghijk")])
def test_names_must_be_one_to_ten_and_distinct(classes):
    with pytest.raises(ValueError, match="classes must be one to 10 distinct names"):
        CertaintyLabels(classes)
