# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Flat predictions in memory: what is of 8 bits stays so, everything else is not rounded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from monai_coat.comparison.data.folder_images import load_folder_images
from monai_coat.comparison.data.images import load_images
from monai_coat.data import ClassLabels, MapOptions, map_datalist, open_predictions
from tests.predictions.layouts import LAYOUTS, written


@pytest.mark.parametrize("size", [(32, 32), (20, 20)])
def test_maps_of_8_bits_are_those_of_the_collection_s_reader(tmp_path, write_maps, size):
    folder = write_maps(4)
    found = load_folder_images(open_predictions(folder / "maps", folder / "masks"), size, tmp_path / "a.npz")
    expected = load_images(map_datalist(folder / "maps", folder / "masks"), size, tmp_path / "b.npz")
    assert found.ids == expected.ids
    assert found.probs.dtype == torch.float32
    assert torch.allclose(found.probs, expected.probs, rtol=0, atol=1e-7)
    assert torch.equal(found.label, expected.label)


@pytest.mark.parametrize("name", ["16 bit, suffix", "float TIFF, a folder an image", "npy, half precision", "masks"])
def test_other_maps_are_not_rounded(tmp_path, name):
    layout = LAYOUTS[name]
    maps, masks = written(layout, tmp_path, 0, 4)
    options = MapOptions(suffix=layout.suffix[1] if layout.suffix else "", are_masks=name == "masks")
    folder = open_predictions(tmp_path / "maps", tmp_path / "labels", options=options)
    images = load_folder_images(folder, (13, 10), tmp_path / "kept.npz")
    assert images.probs.dtype == torch.float32
    tolerance = 1e-6 if name == "masks" else 0  # distances are computed in another way there
    np.testing.assert_allclose(images.probs.numpy(), np.stack(maps), rtol=0, atol=tolerance)
    assert np.array_equal(images.label.numpy(), np.stack(masks))
    for index in range(layout.classes):
        of_class = images.of_class(index)
        assert torch.equal(of_class.probs[:, 0], images.probs[:, index])
        assert torch.equal(of_class.label[:, 0], images.label[:, index])


def test_what_was_read_is_not_read_again(tmp_path):
    written(LAYOUTS["a folder a class"], tmp_path, 0, 3)
    options = MapOptions(classes=ClassLabels.parse("a=1,b=2"))
    folder = open_predictions({n: tmp_path / n for n in "ab"}, tmp_path / "labels", options=options)
    images = load_folder_images(folder, (8, 8), tmp_path / "kept.npz")
    assert images.probs.shape == images.label.shape == (3, 2, 8, 8)
    for path in tmp_path.rglob("*.png"):
        path.unlink()
    assert torch.equal(load_folder_images(folder, (8, 8), tmp_path / "kept.npz").probs, images.probs)


def test_pictures_are_the_images_where_there_are_any_and_else_the_maps(tmp_path, write_maps):
    folder = write_maps(2)
    (folder / "images").mkdir()
    for number in range(2):
        colour = np.full((64, 64, 3), (200, 100, 50), np.uint8)
        Image.fromarray(colour).save(folder / "images" / f"{number}.png")
    places = folder / "maps", folder / "masks"
    with_images = load_folder_images(open_predictions(*places, folder / "images"), (16, 16), tmp_path / "a.npz")
    assert with_images.image[0, :, 8, 8].tolist() == [200, 100, 50]
    without = load_folder_images(open_predictions(*places), (16, 16), tmp_path / "b.npz")
    assert torch.equal(without.image[:, 1:2], (255 * without.probs).round().to(torch.uint8))


def test_masks_that_come_late_stay_with_their_maps(tmp_path, write_maps):
    """A mask that only the others explain is read last."""
    folder = write_maps(4)
    noise = np.zeros((32, 32), np.uint8)
    noise[0, 0] = 7
    Image.fromarray(noise).save(folder / "masks" / "0.png")
    images = load_folder_images(open_predictions(folder / "maps", folder / "masks"), (32, 32), tmp_path / "a.npz")
    assert images.ids == ("0", "1", "2", "3")
    assert images.label.flatten(1).any(1).tolist() == [False, True, True, True]
    stored = np.asarray(Image.open(folder / "maps" / "0.png")).T
    assert np.allclose(images.probs[0, 0].numpy(), stored / 255, rtol=0, atol=1e-7)
