# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Final labels that would be read as others: none is taken for an empty annotation, or laid elsewhere."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from PIL import Image

from monai_coat.apps.annotations import read_annotation
from monai_coat.transforms import CertaintyLabels
from tests.data.test_stored_values import square, write_png

LABELS = CertaintyLabels(("polyp",))


@pytest.mark.parametrize("kind", ["LA", "RGB", "RGBA"])
def test_labels_of_sixteen_bits_a_channel_are_refused(tmp_path, kind):
    """Their high byte is 0 everywhere: the annotation would be empty."""
    Image.new("RGB", (6, 4)).save(tmp_path / "image.png")
    values = square(65535, kind)
    values[..., : 3 if kind.startswith("RGB") else 1] //= 65535
    write_png(tmp_path / "final.png", values, 16, kind)
    with pytest.raises(ValueError, match=r"got 16 bits in the channels of .*final\.png"):
        read_annotation(tmp_path / "final.png", tmp_path / "image.png", LABELS)


def test_labels_of_sixteen_bits_grey_are_read(tmp_path):
    Image.new("RGB", (6, 4)).save(tmp_path / "image.png")
    write_png(tmp_path / "final.png", square(1, "L"), 16, "L")
    assert read_annotation(tmp_path / "final.png", tmp_path / "image.png", LABELS).sum() == 6


@pytest.mark.parametrize("affine", [np.eye(4), np.diag([-1.0, -1.0, 1.0, 1.0])])
def test_a_volume_of_two_axes_for_a_flat_image_is_refused(tmp_path, affine):
    Image.new("RGB", (6, 6)).save(tmp_path / "image.png")
    nibabel.save(nibabel.Nifti1Image(np.eye(6, dtype=np.uint8), affine), tmp_path / "final.nii.gz")
    with pytest.raises(ValueError, match=r"all volumes or all flat, got .*final\.nii\.gz beside .*image\.png"):
        read_annotation(tmp_path / "final.nii.gz", tmp_path / "image.png", LABELS)
