# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Groups by metadata and by what is predicted: known before the mask is, and made again by their key."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.calibration import MetadataKey, SizeStrata, as_grouping
from monai_coat.calibration.grouping import value_of

SCORE = torch.tensor([[0.9, 0.2, 0.5, 0.1]])


@pytest.mark.parametrize("value", ["north", 7, 2.5, True, np.int64(7), torch.tensor(7), torch.tensor([7])])
def test_a_group_is_the_entry_as_text(value):
    expected = "7" if not isinstance(value, str | bool | float) else str(value)
    assert MetadataKey("site").group_of(SCORE, {"site": value, "other": 1}) == expected


@pytest.mark.parametrize("meta", [None, {}, {"device": "a"}, {"site": None}, {"site": ""}, {"site": math.nan}])
def test_an_image_that_does_not_say_its_group_is_refused(meta):
    said = "got none; add it to the table" if not meta else "got device; add it to the table"
    if meta and "site" in meta:
        said = f"got {meta['site']!r} of one; fill it in"
    with pytest.raises(ValueError, match=f"metadata must say 'site' of every image, {said}"):
        MetadataKey("site").group_of(SCORE, meta)


def test_zero_is_a_value():
    assert value_of({"fold": 0}, "fold") == 0


@pytest.mark.parametrize(
    ("edges", "level", "expected"),
    [
        # Two of four pixels reach 0.5, one reaches 0.6; a share at an edge is of the stratum above it.
        ((0.1, 0.6), 0.5, "from 0.1 to 0.6"),
        ((0.5,), 0.5, "from 0.5 to 1"),
        ((0.3, 0.5), 0.6, "from 0 to 0.3"),
        ((0.25,), 0.6, "from 0.25 to 1"),
        ((0.5,), 0.95, "from 0 to 0.5"),
    ],
)
def test_strata_by_hand(edges, level, expected):
    assert SizeStrata(edges, level).group_of(SCORE, None) == expected


def test_of_several_classes_a_pixel_counts_once():
    two = torch.tensor([[0.9, 0.2, 0.1, 0.1], [0.8, 0.9, 0.1, 0.1]])
    assert SizeStrata((0.5, 0.75)).group_of(two, None) == "from 0.5 to 0.75"
    assert SizeStrata((0.4, 0.6)).group_of(two.reshape(2, 2, 2), None) == "from 0.4 to 0.6"


@given(
    st.lists(st.floats(0.001, 0.999), min_size=1, max_size=5, unique=True).map(sorted),
    st.floats(-30, 30),
)
def test_its_key_makes_it_again(edges, level):
    strata = SizeStrata(tuple(edges), level)
    assert as_grouping(strata.key) == strata == as_grouping(strata)


def test_any_other_text_is_an_entry():
    assert as_grouping("site") == MetadataKey("site")
    assert as_grouping("size") == MetadataKey("size")
    assert MetadataKey("site").key == "site"


@pytest.mark.parametrize("edges", [(), (0.0, 0.5), (0.5, 1.0), (0.5, 0.5), (0.6, 0.3), (math.nan,)])
def test_edges_must_ascend_within_the_image(edges):
    with pytest.raises(ValueError, match=r"edges must ascend within \(0, 1\), got"):
        SizeStrata(edges)


@pytest.mark.parametrize("level", [math.nan, math.inf])
def test_a_level_must_be_a_score(level):
    with pytest.raises(ValueError, match="level must be a finite score, got"):
        SizeStrata((0.5,), level)


@pytest.mark.parametrize(
    "key",
    [
        "size(",
        "size()",
        "size(a, 0.1)",
        "size(0.5",
        "size(0.5, 0.1) and more",
        "size(0.5, 0.1",
        "size(0.5, 0.1))",
        "size(0.5,)",
    ],
)
def test_what_begins_like_strata_and_is_none_is_refused(key):
    with pytest.raises(ValueError, match=r"key must be a name or size\(level, edge, \.\.\.\)|edges must ascend"):
        as_grouping(key)


@pytest.mark.parametrize("text", ["NA", "nan", "NaN", "null", "None", " n/a "])
def test_what_programs_write_for_no_value_is_no_group(text):
    with pytest.raises(ValueError, match="write a name that means something"):
        value_of({"site": text}, "site")


def test_a_number_is_one_group_whether_it_is_read_as_whole_or_not():
    assert MetadataKey("patient").group_of(SCORE, {"patient": 4.0}) == "4"
    assert MetadataKey("patient").group_of(SCORE, {"patient": 4}) == "4"
    assert MetadataKey("patient").group_of(SCORE, {"patient": torch.tensor([4.0])}) == "4"
