# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The picture behind outlines: in colour, in grey, or the map."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from monai_coat.report.pictures import picture_of


def picture(tmp_path, values, size=(7, 9)):
    Image.fromarray(values).save(tmp_path / "image.png")
    return picture_of({"image": str(tmp_path / "image.png"), "probs": "map.png"}, torch.full((2, *size), 0.25), 1)


def test_colours_are_last(tmp_path, rng):
    values = rng.integers(0, 256, (9, 7, 3), np.uint8)
    values[0, :2] = [[0] * 3, [255] * 3]
    found = picture(tmp_path, values)
    assert found.shape == (7, 9, 3)
    np.testing.assert_allclose(found, values.swapaxes(0, 1) / 255, atol=0.02)


def test_grey_has_no_axis_of_colours(tmp_path, rng):
    assert picture(tmp_path, rng.integers(0, 256, (9, 7), np.uint8)).shape[:2] == (7, 9)


def test_an_image_of_another_size_is_not_shown(tmp_path, rng):
    found = picture(tmp_path, rng.integers(0, 256, (9, 8), np.uint8))
    assert np.array_equal(found, np.full((7, 9), 0.25, np.float32))
