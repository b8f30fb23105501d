# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Images at the size of the comparison: read once, masks cut as everywhere, empty ones left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from monai_coat.comparison.data.images import load_images
from monai_coat.data import calibrate_saved_maps, map_datalist


def test_images_are_read_at_the_size_and_then_kept(tmp_path, write_maps):
    samples = map_datalist(write_maps(3) / "maps", tmp_path / "own" / "masks")
    images = load_images(samples, (16, 16), tmp_path / "kept.npz")
    assert images.ids == ("0", "1", "2")
    assert images.image.shape == (3, 3, 16, 16)
    assert images.label.shape == images.probs.shape == (3, 1, 16, 16)
    assert (images.image.dtype, images.label.dtype, images.probs.dtype) == (torch.uint8, torch.bool, torch.float32)
    for path in (tmp_path / "own").rglob("*.png"):
        path.unlink()
    again = load_images(samples, (16, 16), tmp_path / "kept.npz")
    assert torch.equal(again.probs, images.probs)


def test_a_map_at_its_own_size_keeps_its_values(tmp_path, write_maps):
    samples = map_datalist(write_maps(1) / "maps", tmp_path / "own" / "masks")
    images = load_images(samples, (32, 32), tmp_path / "kept.npz")
    # MONAI's first axis is PIL's horizontal one.
    for values, name in ((images.probs, "maps"), (images.label.float(), "masks")):
        stored = np.asarray(Image.open(tmp_path / "own" / name / "0.png"))
        assert np.allclose(values[0, 0].numpy(), stored.T / 255, rtol=0, atol=1e-7)


def test_a_map_that_is_made_smaller_is_not_rounded(tmp_path, write_maps):
    folder = write_maps(1)
    grey = np.zeros((32, 32), np.uint8)
    grey[0, 0] = 1  # a sixteenth of 1/255 at a quarter of the size
    Image.fromarray(grey).save(folder / "maps" / "0.png")
    images = load_images(map_datalist(folder / "maps", folder / "masks"), (8, 8), tmp_path / "kept.npz")
    assert images.probs[0, 0, 0, 0] == pytest.approx(1 / 255 / 16)


def test_noise_of_jpeg_is_no_foreground(tmp_path, write_maps):
    """``calibrate`` and ``compare`` must count the same pixels."""
    folder = write_maps(20)
    for path in list((folder / "masks").iterdir()):
        Image.open(path).save(path.with_suffix(".jpg"), quality=60)
        path.unlink()
    samples = map_datalist(folder / "maps", folder / "masks")
    images = load_images(samples, (32, 32), tmp_path / "kept.npz")
    for label, sample in zip(images.label, samples, strict=True):
        stored = np.asarray(Image.open(sample["label"])).T
        assert (stored[stored < 128] > 0).any()
        assert np.array_equal(label[0].numpy(), stored > stored.max() / 2)
    assert calibrate_saved_maps(samples, 0.1).n == (20,)


def test_masks_that_are_empty_at_this_size_are_left_out(tmp_path, write_maps):
    folder = write_maps(3)
    mask = np.zeros((32, 32), np.uint8)
    Image.fromarray(mask).save(folder / "masks" / "0.png")
    mask[3, 3] = 255  # one of the 16 pixels that a quarter of the size makes one of
    Image.fromarray(mask).save(folder / "masks" / "1.png")
    samples = map_datalist(folder / "maps", folder / "masks")
    full, small = (load_images(samples, (n, n), tmp_path / f"{n}.npz").take(samples[::-1]) for n in (32, 8))
    assert full.ids == ("2", "1")
    assert small.ids == ("2",)
    assert len(small.probs) == len(small.image) == 1


def test_an_image_that_is_not_there_is_named(tmp_path, write_maps):
    images = load_images(map_datalist(write_maps(2) / "maps", tmp_path / "own" / "masks"), (8, 8), tmp_path / "a.npz")
    with pytest.raises(KeyError, match="absent"):
        images.take([{"id": "absent"}])
