# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import math

import pytest

from monai_coat.report import ImageRecord


@pytest.fixture
def record():
    """Make a record of a 10 x 10 image out of what it hits, takes and should take."""

    def make(name, hits, taken, foreground, difficulty=0.25):
        coverage = hits / foreground if foreground else math.nan
        return ImageRecord(name, coverage, taken, hits, foreground, 100, difficulty)

    return make


@pytest.fixture
def records(record):
    """Three images with foreground and one without, under two methods."""
    return {
        "crc": [
            record("a", 8, 16, 8, 0.1),
            record("b", 4, 4, 8, 0.4),
            record("c", 0, 0, 4, 0.9),
            record("d", 0, 25, 0),
        ],
        "coat": [
            record("a", 7, 8, 8, 0.1),
            record("b", 6, 9, 8, 0.4),
            record("c", 3, 6, 4, 0.9),
            record("d", 0, 50, 0),
        ],
    }
