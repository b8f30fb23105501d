# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A mask lies where its image lies, whichever of the two forms of a header a viewer goes by."""

from __future__ import annotations

from itertools import permutations, product

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import Compose, Orientationd, SaveImaged, Spacingd

from monai_coat.data import MaskWriter
from monai_coat.transforms import ReadImaged, RestoreGridd

TURN = np.array([[0.0, -2.0, 0.0, 5.0], [1.5, 0.0, 0.0, -3.0], [0.0, 0.0, 3.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
OBLIQUE = np.diag([1.0, 2.0, 3.0, 1.0])
OBLIQUE[:2, :2] = np.array([[0.8, -0.6], [0.6, 0.8]]) @ np.diag([1.0, 2.0])
SHEARED = TURN.copy()
SHEARED[0, 0] = 0.2
FORMS = {"same": (TURN, TURN), "different": (TURN, OBLIQUE), "sheared": (SHEARED, TURN)}


pytestmark = pytest.mark.filterwarnings("ignore:.*pixdim")  # by MONAI, of headers that contradict themselves


def masked(root, sform, qform, codes, steps=()):
    """An image file and the mask that a pipeline writes for it."""
    image = nibabel.Nifti1Image(np.random.default_rng(0).random((6, 7, 8), np.float32), None)
    image.set_sform(sform, codes[0])
    image.set_qform(qform, codes[1])
    nibabel.save(image, root / "image.nii.gz")
    before = Compose([ReadImaged("image"), *steps])
    data = before({"image": str(root / "image.nii.gz")})
    data["pred"] = data["image"].clone()
    files = {"output_dir": root, "output_postfix": "mask", "separate_folder": False, "print_log": False}
    after = [
        *[RestoreGridd("pred", before, "image", nearest_interp=False)][: len(steps)],
        SaveImaged("pred", writer=MaskWriter, resample=False, **files),
    ]
    Compose(after)(data)
    return nibabel.load(root / "image.nii.gz"), nibabel.load(root / "image_mask.nii.gz")


@pytest.mark.parametrize("codes", [(1, 1), (2, 1), (0, 1), (4, 0), (0, 0), (1, 3)])
@pytest.mark.parametrize("forms", FORMS)
@pytest.mark.parametrize("steps", [(), (Orientationd("image", "PLS", labels=None),)], ids=["as it is", "turned"])
def test_a_mask_has_the_forms_of_its_image(tmp_path, codes, forms, steps):
    image, mask = masked(tmp_path, *FORMS[forms], codes, steps)
    for form in ("sform", "qform"):
        (expected, code), (got, got_code) = (getattr(volume, f"get_{form}")(coded=True) for volume in (image, mask))
        assert (got_code, got is None) == (code, expected is None)
        assert expected is None or np.allclose(got, expected, atol=1e-5)
    assert np.array_equal(mask.affine, image.affine)
    assert np.allclose(mask.get_fdata(), image.get_fdata())


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_a_volume_may_have_its_axes_in_any_order(tmp_path, order, signs):
    """Voxel by voxel, with resample=False as bundles have it."""
    affine = np.eye(4)
    affine[:3, :3] = (np.diag([1.0, 2.0, 3.0]) * signs)[:, order]
    affine[:3, 3] = (4, 5, 6)
    nibabel.save(
        nibabel.Nifti1Image(np.random.default_rng(0).random((6, 7, 8), np.float32), affine), tmp_path / "a.nii"
    )
    data = ReadImaged("image")({"image": str(tmp_path / "a.nii")})
    names = {"output_dir": tmp_path, "output_postfix": "mask", "separate_folder": False, "print_log": False}
    SaveImaged("image", writer=MaskWriter, resample=False, **names)(data)
    image, mask = nibabel.load(tmp_path / "a.nii"), nibabel.load(tmp_path / "a_mask.nii.gz")
    assert np.array_equal(mask.affine, image.affine)
    assert np.array_equal(mask.get_fdata(), image.get_fdata())


def test_a_resampled_mask_has_the_affine_of_its_own_grid(tmp_path):
    """Its image's forms would misplace it; without the way back, it lies where the network saw it."""
    image = nibabel.Nifti1Image(np.zeros((6, 7, 8), np.float32), TURN)
    nibabel.save(image, tmp_path / "image.nii.gz")
    data = Compose([ReadImaged("image"), Spacingd("image", (1.0, 1.0, 1.0))])({"image": str(tmp_path / "image.nii.gz")})
    SaveImaged(
        "image",
        output_dir=tmp_path,
        output_postfix="mask",
        writer=MaskWriter,
        resample=False,
        separate_folder=False,
        print_log=False,
    )(data)
    mask = nibabel.load(tmp_path / "image_mask.nii.gz")
    for affine in (mask.affine, mask.get_qform(), mask.get_sform()):
        assert np.allclose(affine, data["image"].affine.numpy(), atol=1e-5)


def test_a_mask_without_a_file_is_written_as_monai_does(tmp_path):
    SaveImaged(
        "pred", output_dir=tmp_path, output_postfix="", writer=MaskWriter, separate_folder=False, print_log=False
    )({"pred": torch.ones(1, 4, 4, 4)})
    assert nibabel.load(tmp_path / "0.nii.gz").get_sform(coded=True)[1] == 1


def test_a_volume_of_one_slice_keeps_its_third_axis(tmp_path):
    writer = MaskWriter(output_dtype=np.uint8)
    writer.set_data_array(np.ones((6, 7, 1), np.uint8), channel_dim=None)
    writer.set_metadata({"affine": TURN}, resample=False)
    writer.write(tmp_path / "mask.nii.gz")
    assert nibabel.load(tmp_path / "mask.nii.gz").shape == (6, 7, 1)
