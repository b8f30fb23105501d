# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import pytest
import torch

from monai_coat.handlers.pairs import batches


def test_batches_stay_batches():
    scores, labels = torch.rand(3, 1, 4, 4), torch.ones(3, 1, 4, 4)
    for output in ((scores, labels), [scores, labels]):
        ((found, reference),) = batches(output)
        assert found is scores
        assert reference is labels


def test_lists_of_maps_become_batches_of_one():
    scores, labels = [torch.rand(1, 4, 4), torch.rand(1, 5, 3)], [torch.ones(1, 4, 4), torch.ones(1, 5, 3)]
    found = list(batches((scores, labels)))
    assert [tuple(score.shape) for score, _ in found] == [(1, 1, 4, 4), (1, 1, 5, 3)]
    assert all(
        torch.equal(f[0], s) and torch.equal(g[0], y) for (f, g), s, y in zip(found, scores, labels, strict=True)
    )
    assert list(batches(([], []))) == []


@pytest.mark.parametrize("output", [{"pred": 1, "label": 2}, torch.rand(2, 1, 4), (torch.rand(1, 1, 4),), None])
def test_other_outputs_are_refused(output):
    with pytest.raises(ValueError, match=r"output_transform must return \(scores, labels\), got .*from_engine"):
        list(batches(output))


def test_lists_must_be_of_one_length():
    with pytest.raises(ValueError, match=r"scores and labels must have the same length, got 2 and 1"):
        list(batches(([torch.rand(1, 4)] * 2, [torch.ones(1, 4)])))
