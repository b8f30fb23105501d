# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The background that would be included first."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.functional import highest_background


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=12))
def test_the_share_of_marked_pixels_above_a_cutoff_is_the_false_alarm(pixels):
    scores = torch.tensor([[[float(s) for s, _ in pixels]]])
    label = torch.tensor([[[y for _, y in pixels]]])
    marked = highest_background(scores, label)
    size = min(int(label.sum()), int((~label).sum()))
    assert int(marked.sum()) == size
    assert not bool((marked & label).any())
    for cutoff in range(-4, 5):
        wrong = int(((scores >= cutoff) & ~label).sum())
        assert int((scores[marked] >= cutoff).sum()) == min(size, wrong)


def test_images_and_classes_are_on_their_own():
    scores = torch.tensor([[[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]], [[0.1, 0.2, 0.3], [0.5, 0.5, 0.5]]])
    labels = torch.tensor([[[1, 0, 0], [1, 0, 0]], [[0, 0, 0], [1, 1, 1]]])
    expected = [[[0, 0, 1], [0, 1, 0]], [[0, 0, 0], [0, 0, 0]]]
    assert highest_background(scores, labels).int().tolist() == expected


def test_nan_is_refused():
    with pytest.raises(ValueError, match="finite"):
        highest_background(torch.tensor([[[torch.nan, 1.0]]]), torch.tensor([[[1, 0]]]))
