# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.handlers import from_engine

from monai_coat.handlers.pairs import batches, transformed


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


def test_arrays_are_taken_as_tensors_are():
    scores, labels = np.random.rand(3, 1, 4, 4).astype(np.float32), np.ones((3, 1, 4, 4))
    ((found, reference),) = batches((scores, labels))
    assert np.array_equal(found, scores)
    assert np.array_equal(reference, labels)
    assert [tuple(score.shape) for score, _ in batches((list(scores), list(labels)))] == [(1, 1, 4, 4)] * 3


ITEM = {"image": 1, "pred": torch.rand(1, 4), "label": torch.ones(1, 4)}


@pytest.mark.parametrize(
    ("transform", "output"),
    [
        (from_engine(["preds", "label"]), [ITEM]),  # another key
        (lambda o: (o["pred"].sigmoid(), o["label"]), [ITEM, ITEM]),  # a list after the iteration
        (lambda o: (o[0], o[1]), ITEM),
        (lambda o: (o["pred"].sigmod(), o["label"]), ITEM),
        (lambda o: (o[0], o[5]), (1, 2)),
        (lambda o: o["pred"], None),
    ],
)
def test_an_output_transform_that_fails_is_named_with_what_it_was_given(transform, output):
    with pytest.raises(
        ValueError, match=r"^output_transform must take \(scores, labels\) .*, got .*, and failed \(\w+Error: "
    ):
        transformed(transform, output)
    form = "a list of .*a dictionary of image, pred, label" if isinstance(output, list) else ""
    with pytest.raises(ValueError, match=f"got .*{form}"):
        transformed(transform, output)


@pytest.mark.parametrize("output", [[ITEM, ITEM], (ITEM, None), (None, None), ([torch.rand(1, 4)], None)])
def test_dictionaries_in_place_of_maps_are_refused(output):
    with pytest.raises(ValueError, match=r"output_transform must return batches or lists of maps, got .*from_engine"):
        list(batches(output))


@pytest.mark.parametrize("labels", [[None, None], ["a.png", "b.png"], [{"a": 1}, {"a": 2}]])
def test_labels_that_are_none_are_named(labels):
    with pytest.raises(
        TypeError, match=r"labels must be a list of maps \(C, \*spatial\), got .* in it; let the loader"
    ):
        list(batches(([torch.rand(1, 4), torch.rand(1, 4)], labels)))
