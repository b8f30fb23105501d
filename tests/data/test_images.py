# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The reader of images: flat ones by mode, volumes as they are."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from monai.data import MetaTensor
from PIL import Image

from monai_coat.data import read_image


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
def test_a_flat_image_has_the_channels_of_its_mode(tmp_path, mode, channels):
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(values).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", mode)
    assert image.shape == (channels, 4, 3)  # width first, as MONAI reads
    assert np.array_equal(image[0].numpy().T, values)
    assert isinstance(image, MetaTensor)
    assert image.meta["filename_or_obj"] == str(tmp_path / "a.png")


def test_a_volume_keeps_its_values_and_its_place(tmp_path):
    values = np.linspace(-2, 3, 24, dtype=np.float32).reshape(2, 3, 4)
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "a.nii.gz")
    image = read_image(tmp_path / "a.nii.gz")
    assert np.array_equal(image.numpy(), values[None])
    assert np.array_equal(image.affine.numpy(), affine)


@pytest.mark.parametrize(
    ("dtype", "name"), [(np.uint16, "image.png"), (np.uint16, "image.tif"), (np.float32, "image.tif")]
)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_more_than_eight_bits_are_refused_and_not_clipped(tmp_path, dtype, name, mode):
    Image.fromarray(np.full((4, 4), 1, dtype)).save(tmp_path / name)
    with pytest.raises(ValueError, match=rf"image must have 8 bits a channel, got .*{name} of mode"):
        read_image(tmp_path / name, mode)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_are_not_finite_are_named(tmp_path, value, dtype):
    values = np.zeros((3, 4, 5), dtype)
    values[1, 2, 3] = value
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(ValueError, match=r"image must have finite values, got 1 that are not in .*a\.nii\.gz"):
        read_image(tmp_path / "a.nii.gz")


def test_what_float32_cannot_hold_is_named(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.full((2, 2, 2), 1e300), np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(ValueError, match="image must have finite values, got 8"):
        read_image(tmp_path / "a.nii.gz")
