# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The reader of masks: one rule for all commands."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from monai_coat.data import read_mask


@pytest.mark.parametrize(
    ("values", "foreground"),
    [
        ([0, 1, 1, 0], [0, 1, 1, 0]),
        ([0, 255, 0, 255], [0, 1, 0, 1]),
        ([0, 127, 128, 255], [0, 0, 1, 1]),  # the edge of an antialiased mask is at half of its largest value
        ([3, 2, 250, 240], [0, 0, 1, 1]),  # noise of a compression
        ([0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
def test_foreground_is_above_half_of_the_largest_value(tmp_path, values, foreground):
    Image.fromarray(np.array([values], np.uint8)).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert mask.shape == (1, 4, 1)
    assert mask.flatten().int().tolist() == foreground
