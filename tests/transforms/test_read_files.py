# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The readers in a pipeline: metadata are kept, and labels lie on their images."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import Compose, Invertd, LoadImaged, Orientationd, Resized, Spacingd
from nibabel.orientations import axcodes2ornt
from PIL import Image

from monai_coat.data import check_readable, read_image
from monai_coat.transforms import ClassMasksd, ReadImage, ReadImaged, ReadLabelMapd, ReadMaskd

PREPARED = {
    "as it is": [],
    "turned": [Orientationd("image", "PLS", labels=None)],
    "resampled": [Orientationd("image", "RAS", labels=None), Spacingd("image", (1.5, 1.5, 1.5))],
    "resized": [Resized("image", (8, 8, 8))],
}


def write_volumes(root, axes="RAS", affine=None):
    """An image and its label map of two classes, the label in another order of axes."""
    affine = np.diag([1.0, 2.0, 3.0, 1.0]) if affine is None else affine
    label = np.random.default_rng(0).integers(0, 3, (6, 7, 8)).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(label.astype(np.float32), affine), root / "image.nii.gz")
    turned = nibabel.Nifti1Image(label, affine).as_reoriented(axcodes2ornt(tuple(axes)))
    nibabel.save(turned, root / "label.nii.gz")
    return label, {key: str(root / f"{key}.nii.gz") for key in ("image", "label")}


@pytest.mark.parametrize("steps", PREPARED)
@pytest.mark.parametrize("axes", ["RAS", "LPS", "SAR", "IPL"])
def test_a_label_comes_in_the_order_of_its_image_file(tmp_path, steps, axes):
    label, sample = write_volumes(tmp_path, axes)
    data = Compose([ReadImaged("image"), *PREPARED[steps], ReadLabelMapd("label"), ClassMasksd("label", (1, 2))])(
        sample
    )
    assert np.array_equal(data["label"].numpy(), np.stack([label == 1, label == 2]).astype(np.float32))


def test_the_restored_image_lies_on_its_label(tmp_path):
    """As calibration compares them: scores go back to the file's grid, where the label is."""
    _, sample = write_volumes(tmp_path, "LPI")
    steps = Compose([ReadImaged("image"), Orientationd("image", "PLS", labels=None)])
    data = ReadLabelMapd("label")(steps(sample))
    data["pred"] = data["image"].clone()
    restored = Invertd("pred", steps, orig_keys="image", nearest_interp=False)(data)["pred"]
    assert torch.equal(restored.as_tensor(), data["label"].as_tensor())


def test_a_label_that_lies_elsewhere_is_named(tmp_path):
    _, sample = write_volumes(tmp_path)
    nibabel.save(nibabel.Nifti1Image(np.zeros((6, 7, 8), np.uint8), np.eye(4)), tmp_path / "label.nii.gz")
    with pytest.raises(ValueError, match=r"lie on one another, got .*label\.nii\.gz up to .*image\.nii\.gz"):
        ReadLabelMapd("label")(ReadImaged("image")(sample))
    assert ReadLabelMapd("label", image_key=None)(ReadImaged("image")(sample))["label"].shape == (1, 6, 7, 8)


def test_a_mask_of_another_size_is_named(tmp_path):
    for name, size in (("image", (6, 4)), ("label", (4, 6))):
        Image.new("L", size, 255).save(tmp_path / f"{name}.png")
    sample = {key: str(tmp_path / f"{key}.png") for key in ("image", "label")}
    with pytest.raises(ValueError, match=r"size of its image, got \(4, 6\) of .*label\.png and \(6, 4\) of .*image"):
        ReadMaskd("label")(Compose([ReadImaged("image"), Resized("image", (9, 9))])(sample))


def test_the_image_comes_first(tmp_path):
    _, sample = write_volumes(tmp_path)
    with pytest.raises(ValueError, match=r"image must be read before its label, with metadata, got str"):
        ReadLabelMapd("label")(sample)


def test_masks_are_of_zeros_and_ones_and_keep_their_metadata(tmp_path):
    values = np.array([[0, 255, 255], [0, 0, 255]], np.uint8)
    for name in ("image", "label"):
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    sample = {key: str(tmp_path / f"{key}.png") for key in ("image", "label")}
    label = ReadMaskd("label")(ReadImaged("image")(sample))["label"]
    assert label.dtype == torch.float32
    assert np.array_equal(label[0].numpy().T, values / 255)
    assert label.meta["filename_or_obj"] == sample["label"]
    assert ReadMaskd("label", threshold=256)(ReadImaged("image")(sample))["label"].sum() == 0


def test_the_array_form_is_the_reader(tmp_path):
    _, sample = write_volumes(tmp_path)
    assert torch.equal(ReadImage()(sample["image"]), read_image(sample["image"]))


def test_images_that_monai_reads_right_are_read_alike(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    sample = {"image": str(tmp_path / "a.png")}
    theirs = LoadImaged("image", ensure_channel_first=True)(sample)["image"]
    ours = ReadImaged("image")(sample)["image"]
    assert torch.equal(theirs, ours)
    assert theirs.meta.keys() - ours.meta.keys() <= {"format"}
    _, volumes = write_volumes(tmp_path, "LPS")
    theirs, ours = (
        reader("image")(volumes)["image"] for reader in (lambda k: LoadImaged(k, ensure_channel_first=True), ReadImaged)
    )
    assert torch.equal(theirs, ours)
    assert theirs.meta.keys() == ours.meta.keys()


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SAR", "IPL"])
@pytest.mark.parametrize("steps", PREPARED)
def test_a_label_comes_as_its_image_was_read_also_turned_by_the_reader(tmp_path, axes, steps):
    """MONAI's reader can turn an image to the canonical order, and keeps the affine of the file beside it."""
    root, turned = tmp_path, ("L", "S", "A")
    label, sample = write_volumes(root, axes)
    image = nibabel.load(sample["image"]).as_reoriented(axcodes2ornt(turned))
    nibabel.save(image, sample["image"])
    reader = LoadImaged("image", reader="NibabelReader", as_closest_canonical=True, ensure_channel_first=True)
    data = ReadLabelMapd("label")(Compose([reader, *PREPARED[steps]])(sample))
    assert np.array_equal(data["label"][0].numpy(), label)  # which was made in the canonical order
    assert np.allclose(data["label"].affine, np.diag([1.0, 2.0, 3.0, 1.0]), atol=1e-5)
    assert np.array_equal(reader(sample)["image"][0].numpy(), label)


@pytest.mark.parametrize("reader", [ReadMaskd, ReadLabelMapd])
@pytest.mark.parametrize("affine", [np.eye(4), np.diag([-1.0, -1.0, 1.0, 1.0])])
@pytest.mark.parametrize("flat", ["image", "label"])
def test_a_volume_of_two_axes_beside_a_flat_file_is_refused(tmp_path, reader, affine, flat):
    volume = "label" if flat == "image" else "image"
    nibabel.save(nibabel.Nifti1Image(np.eye(8, dtype=np.uint8), affine), tmp_path / f"{volume}.nii")
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / f"{flat}.png")
    sample = {volume: str(tmp_path / f"{volume}.nii"), flat: str(tmp_path / f"{flat}.png")}
    with pytest.raises(ValueError, match=r"must be all volumes or all flat, got .*label\.(png|nii) beside .*image"):
        reader("label")(ReadImaged("image")(sample))
    with pytest.raises(ValueError, match="must be all volumes or all flat"):
        check_readable([sample])
    assert reader("label", image_key=None)(ReadImaged("image")(sample))["label"].shape == (1, 8, 8)


@pytest.mark.parametrize("canonical", [False, True])
def test_volumes_of_two_axes_are_refused(tmp_path, canonical):
    for key in ("image", "label"):
        nibabel.save(nibabel.Nifti1Image(np.eye(8, dtype=np.uint8), np.eye(4)), tmp_path / f"{key}.nii")
    sample = {key: str(tmp_path / f"{key}.nii") for key in ("image", "label")}
    reader = LoadImaged("image", reader="NibabelReader", as_closest_canonical=canonical, ensure_channel_first=True)
    with pytest.raises(ValueError, match=r"must have three axes, got \(8, 8\) of .*label\.nii"):
        ReadMaskd("label")(reader(sample))
