# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Settings that come as JSON are read as every other program reads them, or refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.apps.label.levels import alpha_of
from monai_coat.apps.label.objects import json_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), VALUES))
def test_what_is_accepted_can_be_written_again_and_is_the_same(content):
    try:
        read = json_object(json.dumps(content), "params")
    except ValueError:
        return
    assert read == content
    assert json.loads(json.dumps(read, allow_nan=False).encode()) == content


@pytest.mark.parametrize(
    "text", ["null", "5", '"x"', "[]", "", "{", b"\xff\xfe", '{"a": NaN}', '{"a": 1e999}', "[" * 10**5]
)
def test_what_is_no_object_of_numbers_is_refused(text):
    with pytest.raises(ValueError, match=r"params must be a JSON object, got something else \(.*\); send one like"):
        json_object(text, "params")


def test_numbers_beyond_64_bits_and_halves_of_letters_are_refused():
    for text in ('{"a": 1' + "0" * 400 + "}", '{"a": [-1e30]}', '{"a": "\\ud800"}', '{"\\ud800": 1}'):
        with pytest.raises(ValueError, match=r"64 bits|half a letter"):
            json_object(text, "params")
    assert json_object("null", "body", optional=True) == {}


@pytest.mark.parametrize("value", ["x", {}, [{}], [[0.1]], True, [True], 10**400])
def test_a_level_is_a_number(value):
    with pytest.raises(ValueError, match=r"alpha must be a number in \(0, 1\), got .*; name a calibrated level"):
        alpha_of(value)


def test_options_that_come_back_untouched_mean_the_first():
    assert [alpha_of(value) for value in ([0.1, 0.2], (), None, "", "0.3", 0.1)] == [0.1, None, None, None, 0.3, 0.1]
