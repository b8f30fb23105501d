# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The reader of images: flat ones by mode, volumes as they are."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from PIL import Image

from monai_coat.data import read_image


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
def test_a_flat_image_has_the_channels_of_its_mode(tmp_path, mode, channels):
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(values).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", mode)
    assert image.shape == (channels, 4, 3)  # width first, as MONAI reads
    assert np.array_equal(image[0].numpy().T, values)


def test_a_volume_keeps_its_values(tmp_path):
    values = np.linspace(-2, 3, 24, dtype=np.float32).reshape(2, 3, 4)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    assert np.array_equal(read_image(tmp_path / "a.nii.gz").numpy(), values[None])


@pytest.mark.parametrize(
    ("dtype", "name"), [(np.uint16, "image.png"), (np.uint16, "image.tif"), (np.float32, "image.tif")]
)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_more_than_eight_bits_are_refused_and_not_clipped(tmp_path, dtype, name, mode):
    Image.fromarray(np.full((4, 4), 1, dtype)).save(tmp_path / name)
    with pytest.raises(ValueError, match=rf"must be an image of 8 bits a channel, got .*{name} of mode"):
        read_image(tmp_path / name, mode)
