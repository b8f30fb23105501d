# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from monai_coat.metrics import ImageRecord, image_records


def test_numbers_by_hand(images):
    scores, labels = images
    masks = scores >= 0.5
    first, second, third = (
        image_records(n, s, m, y)[0] for n, s, m, y in zip("abc", scores, masks, labels, strict=True)
    )
    # Difficulty: the mass min(p, 1 - p) of 0.1 + 0.2 + 0.4 + 0.3 in a mass of 2.4.
    assert dataclasses.astuple(first) == ("a", 2 / 3, 2, 2, 3, 4, pytest.approx(1.0 / 2.4))
    assert (first.relative_set_size, first.precision, first.set_fraction) == (2 / 3, 1.0, 0.5)
    assert (second.coverage, second.relative_set_size, second.precision, second.set_fraction) == (1.0, 1.5, 2 / 3, 0.75)
    assert math.isnan(third.coverage)
    assert math.isnan(third.relative_set_size)
    assert (third.set_size, third.true_positives, third.foreground, third.precision) == (1, 0, 0, 0.0)


def test_an_empty_set_covers_nothing_and_has_nothing_wrong():
    (record,) = image_records("a", torch.zeros(1, 2, 2), torch.zeros(1, 2, 2), torch.ones(1, 2, 2))
    assert (record.coverage, record.relative_set_size, record.set_fraction) == (0.0, 0.0, 0.0)
    assert record.precision == 1.0


def test_every_class_has_a_record():
    scores = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    labels = torch.tensor([[1, 0], [1, 1], [0, 0]])
    records = image_records("a", scores, scores >= 0.5, labels)
    assert [r.name for r in records] == ["a:0", "a:1", "a:2"]
    assert [r.set_size for r in records] == [1, 1, 2]
    assert [r.foreground for r in records] == [1, 2, 0]
    assert [r.coverage for r in records[:2]] == [1.0, 0.5]


def test_margins_tell_no_difficulty():
    scores = torch.tensor([[-0.1, 0.4]])
    assert math.isnan(image_records("a", scores, scores >= 0, torch.ones(1, 2))[0].difficulty)


def test_numbers_are_pythons():
    (record,) = image_records("a", torch.rand(1, 4, 4), torch.ones(1, 4, 4).bool(), torch.ones(1, 4, 4))
    kinds = [type(value) for value in dataclasses.astuple(record)]
    assert kinds == [str, float, int, int, int, int, float]


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ImageRecord("a", 0.9, 120, 90, 100, 4096, 0.3).coverage = 1.0


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"mask and label of a must have the same shape"):
        image_records("a", torch.rand(1, 2, 2), torch.ones(1, 2, 2), torch.ones(1, 2, 3))
