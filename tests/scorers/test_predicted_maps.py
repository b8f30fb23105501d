# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Predicted maps: images, masks and maps stay together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_coat.functional import foreground_sketch
from monai_coat.scorers import MapSummaries, PredictedMaps


@pytest.fixture
def maps(rng):
    probs = torch.from_numpy(rng.integers(0, 9, (12, 1, 6, 5)).astype(np.float32)) / 8
    labels = torch.from_numpy(rng.random(probs.shape) < 0.4)
    image = torch.from_numpy(rng.integers(0, 256, (12, 3, 6, 5)).astype(np.uint8))
    return PredictedMaps(tuple("abcdefghijkl"), image, labels, probs)


def test_rows_and_joins_keep_images_together(maps):
    again = maps.rows([3, 1]).joined(maps.rows([5]))
    assert again.ids == ("d", "b", "f")
    assert torch.equal(again.image, maps.image[[3, 1, 5]])
    assert torch.equal(again.probs, maps.probs[[3, 1, 5]])
    assert torch.equal(again.label, maps.label[[3, 1, 5]])


def test_summaries_and_sketches_are_those_of_each_map_alone(maps):
    assert len(maps) == len(maps.summaries) == len(maps.sketches) == 12
    torch.testing.assert_close(maps.summaries[4:5], MapSummaries(1)(maps.probs[4:5]))
    assert torch.equal(maps.sketches[4:5], foreground_sketch(maps.probs[4:5], maps.label[4:5], 256))
