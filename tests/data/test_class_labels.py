# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Classes of label maps, as they are typed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.data import ClassLabels

WORDS = st.text("abcd_ -12", min_size=1, max_size=6).filter(lambda text: text.strip() == text and text != "background")
LABELS = st.lists(st.integers(1, 300), min_size=1, max_size=4, unique=True).map(tuple)


@given(st.dictionaries(WORDS, LABELS, min_size=1, max_size=4))
def test_classes_are_read_back_as_they_are_written(entries):
    classes = ClassLabels.of(entries)
    assert ClassLabels.parse(str(classes)) == classes


def test_masks_by_hand():
    classes = ClassLabels.parse("liver=1, tumour=2+3, all=1+2+3, background=255")
    masks = classes.masks(torch.tensor([[0.0, 1.0, 2.0, 3.0, 255.0]]))
    assert masks.int().tolist() == [[0, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 1, 1, 1, 0]]


def test_a_label_of_no_class_is_refused():
    with pytest.raises(ValueError, match=r"must hold the classes liver=1 and 0, got 7 in a\.nii; .* background=7"):
        ClassLabels.parse("liver=1").masks(torch.tensor([[0, 1, 7]]), "a.nii")


@pytest.mark.parametrize(
    "text",
    ["", "liver", "liver=", "=1", "liver=0", "liver=one", "a=1,a=2", "a/b=1", "..=1", "a=1,background=1", "a=1.5"],
)
def test_what_names_no_classes_is_refused(text):
    with pytest.raises(ValueError, match="class"):
        ClassLabels.parse(text)
