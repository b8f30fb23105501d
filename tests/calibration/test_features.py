# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import pytest
import torch

from monai_coat.calibration import (
    FEATURES,
    FalseAlarm,
    FalseNegativeRate,
    FalsePositiveRatio,
    VolumeOverestimated,
    WorstClassFalseNegativeRate,
    counted_presence,
    map_features,
)


def test_features_by_hand():
    # 200 pixels: 0, 1/199, ... 1. From 1/2 on are 100 of them, k = 100 ... 199, of mean 149.5 / 199. The two largest
    # reach 198/199, the twenty largest 180/199. Uncertain are 2 (0 + ... + 99) / 199 of a mass of 19900 / 199.
    maps = torch.linspace(0, 1, 200).reshape(1, 10, 20)
    expected = [0.5, 149.5 / 199, 9900 / 19900, 1.0, 198 / 199, 180 / 199]
    torch.testing.assert_close(map_features(maps), torch.tensor([expected]), rtol=1e-5, atol=1e-5)


def test_each_class_has_its_own_and_order_of_pixels_and_size_of_axes_are_no_matter():
    maps = torch.rand(3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    found = map_features(maps)
    assert (found.shape, found.dtype) == ((3, len(FEATURES)), torch.float32)
    for k in range(3):
        torch.testing.assert_close(map_features(maps[k].flatten().flip(0)[None]), found[k : k + 1])


def test_an_empty_map_has_features_too():
    assert map_features(torch.zeros(1, 8)).tolist() == [[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]]


def test_maps_must_be_numbers():
    with pytest.raises(TypeError, match="floating point"):
        map_features(torch.ones(1, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="maps must be finite"):
        map_features(torch.full((1, 4), torch.nan))


@pytest.mark.parametrize(
    ("risk", "counted"),
    [
        (FalseNegativeRate(), (False, True)),
        (WorstClassFalseNegativeRate(), (False, True)),
        (FalsePositiveRatio(), (False, True)),
        (VolumeOverestimated(), (True, True)),
        (FalseAlarm(), (True, False)),
    ],
)
def test_which_images_count_is_what_the_risk_says(risk, counted):
    assert counted_presence(risk) == counted
