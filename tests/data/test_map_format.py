# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which channel is which class, and formats in words."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from monai_coat.data import ClassLabels, MapFormat, MapOptions
from monai_coat.data.map_format import foreground_channels, has_background

SOFTMAX = torch.softmax(torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0)), 0)
SIGMOIDS = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))


def test_the_sum_of_channels_tells_a_background():
    assert has_background(SOFTMAX, None, "a")
    assert has_background(SOFTMAX.half().float(), None, "a")
    assert has_background(SOFTMAX, ClassLabels.numbered(2), "a")
    assert not has_background(SIGMOIDS, None, "a")
    assert not has_background(SIGMOIDS, ClassLabels.numbered(3), "a")
    assert not has_background(torch.ones(1, 4, 4), None, "a")
    assert not has_background(torch.zeros(2, 4, 4), None, "a")


def test_outside_of_a_crop_all_channels_may_be_zero():
    cropped = SOFTMAX.clone()
    cropped[:, :2] = 0
    assert has_background(cropped, None, "a")


@pytest.mark.parametrize(
    ("maps", "count", "said"),
    [
        (SOFTMAX, 3, "the first must be the background"),
        (SIGMOIDS, 2, "none can be it"),
        (SOFTMAX, 5, "got 3 channels in a"),
    ],
)
def test_channels_that_fit_no_classes_are_refused(maps, count, said):
    with pytest.raises(ValueError, match="maps must have a channel for each of the") as error:
        has_background(maps, ClassLabels.numbered(count), "a")
    assert said in str(error.value)


def test_the_others_must_be_as_the_first():
    format = MapFormat(ClassLabels.numbered(2), "background first", "", "float")
    assert torch.equal(foreground_channels(MetaTensor(SOFTMAX), format, "a").as_tensor(), SOFTMAX[1:])
    for odd in (SIGMOIDS, SOFTMAX[:2]):
        with pytest.raises(ValueError, match=r"must all have 3 channels that sum to 1, got .* in odd\.npy"):
            foreground_channels(MetaTensor(odd), format, "odd.npy")


@pytest.mark.parametrize("classes", [None, ClassLabels.parse("a=1+2,b=2,background=9")])
@pytest.mark.parametrize("axes", ["", "czyx"])
def test_a_format_is_read_back_from_its_words(classes, axes):
    format = MapFormat(classes, "classes", axes, "16 bit")
    assert MapFormat.from_entries(format.to_entries()) == format
    with pytest.raises(ValueError, match=r"must be one of saved maps, with their format, got one without axes"):
        MapFormat.from_entries({"classes": "a=1", "channels": "classes", "values": "float"})


def test_options_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match=r"axes must be one of yx, xy"):
        MapOptions(axes="zy")
    with pytest.raises(ValueError, match=r"mask_threshold must not be given with classes"):
        MapOptions(ClassLabels.numbered(1), mask_threshold=0.5)
