# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The result is a value: frozen, comparable, and its shift is minus its cutoff."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from monai_coat.calibration import CalibrationResult

RESULT = CalibrationResult((0.25, -0.5), 0.1, (99, 120), (1, 0), (0.0875, 0.09), "E[FNR] <= 0.1")


def test_shift_is_minus_the_cutoff():
    assert RESULT.shift == (-0.25, 0.5)


def test_it_is_frozen_hashable_and_compared_by_value():
    with pytest.raises(dataclasses.FrozenInstanceError, match="cutoff"):
        RESULT.cutoff = (0.0, 0.0)
    again = pickle.loads(pickle.dumps(RESULT))
    assert again == RESULT
    assert hash(again) == hash(RESULT)
    assert dataclasses.replace(RESULT, method="coat") != RESULT
