# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The readers of masks and label maps: one rule for all commands, and nothing guessed."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from PIL import Image

from monai_coat.data import read_label_map, read_mask, read_masks

SQUARE = np.zeros((16, 16), np.uint8)
SQUARE[4:9, 4:9] = 1


def write(path, values):
    path.parent.mkdir(exist_ok=True)
    if ".nii" in path.name:
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    else:
        Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize("name", ["mask.png", "mask.tif", "mask.bmp", "mask.nii.gz"])
@pytest.mark.parametrize("scale", [0, 1, 255])
def test_masks_of_two_values_are_read(tmp_path, name, scale):
    values = (SQUARE * scale).astype(np.uint8)
    mask = read_mask(write(tmp_path / name, values[..., None] if ".nii" in name else values))
    inside = (SQUARE > 0) & (scale > 0)
    assert np.array_equal(mask[0].numpy().reshape(16, 16), inside if ".nii" in name else inside.T)


def test_masks_of_sixteen_bits_are_read(tmp_path):
    for scale in (1, 255, 65535):
        assert read_mask(write(tmp_path / "mask.png", SQUARE.astype(np.uint16) * np.uint16(scale))).sum() == 25


def test_an_image_that_is_all_foreground_is(tmp_path):
    for value in (1, 255):
        assert read_mask(write(tmp_path / "mask.png", np.full((4, 4), value, np.uint8))).all()


@pytest.mark.parametrize("name", ["mask.png", "mask.tif", "mask.nii"])
@pytest.mark.parametrize(
    "values",
    [
        [0, 1, 255],  # 255 to ignore
        [0, 1, 2],  # two classes
        [0, 2],  # the second class alone
        [0, 128],
        [0, 127, 128, 255],  # an antialiased edge
        [3, 2, 250, 240],  # noise of a compression that is not known to be one
        [1, 2],
    ],
)
def test_other_values_are_refused_unless_told(tmp_path, name, values):
    array = np.array([values], np.uint8)
    path = write(tmp_path / name, array[..., None] if ".nii" in name else array)
    with pytest.raises(ValueError, match=rf"mask must hold 0 and 1, or 0 and 255, got .*{name}"):
        read_mask(path)
    assert read_mask(path, threshold=2).flatten().tolist() == [value >= 2 for value in values]


@pytest.mark.parametrize("quality", [10, 50, 75, 95])
@pytest.mark.parametrize("colours", ["L", "RGB"])
def test_compressed_masks_are_cut_at_half(tmp_path, quality, colours):
    blocks = np.kron(SQUARE, np.ones((8, 8), np.uint8))  # as large as the blocks of a JPEG, which it then keeps exactly
    Image.fromarray(blocks * 255).convert(colours).save(tmp_path / "mask.jpg", quality=quality)
    assert np.array_equal(read_mask(tmp_path / "mask.jpg")[0].numpy().T, blocks > 0)


def test_noise_of_an_empty_compressed_mask_is_no_foreground(tmp_path):
    noise = np.random.default_rng(0).integers(0, 5, (32, 32)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "mask.jpg", quality=95)
    assert not read_mask(tmp_path / "mask.jpg").any()


def test_a_photograph_is_no_mask(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)).save(tmp_path / "mask.jpg")
    with pytest.raises(ValueError, match=r"mask must be black and white, got .* in between in .*mask\.jpg"):
        read_mask(tmp_path / "mask.jpg")
    assert read_mask(tmp_path / "mask.jpg", threshold=100).any()


@pytest.mark.parametrize("palette", [[0, 0, 0, 255, 255, 255], [0, 0, 0, 128, 0, 0]])
def test_palettes_whose_background_is_black_are_read(tmp_path, palette):
    image = Image.fromarray(SQUARE)
    image.putpalette([*palette, *[0] * 762])
    image.save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png")[0].numpy().T, SQUARE > 0)
    assert np.array_equal(read_label_map(tmp_path / "mask.png")[0].numpy().T, SQUARE)


def test_palettes_that_can_be_read_in_two_ways_are_refused(tmp_path):
    image = Image.fromarray(SQUARE)
    image.putpalette([255, 255, 255, 0, 0, 0, *[0] * 762])
    image.save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=r"mask must be black where nothing is marked, got a palette in .*mask\.png"):
        read_mask(tmp_path / "mask.png")


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_masks_in_the_alpha_channel_are_refused_and_opaque_ones_read(tmp_path, mode):
    image = Image.fromarray(np.full((16, 16), 255, np.uint8)).convert(mode)
    image.putalpha(Image.fromarray(SQUARE * 255))
    image.save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=r"must have opaque pixels, got alpha down to 0 in .*mask\.png"):
        read_mask(tmp_path / "mask.png")
    Image.fromarray(SQUARE * 255).convert(mode).save(tmp_path / "opaque.png")
    assert read_mask(tmp_path / "opaque.png").sum() == 25


def test_colours_are_refused(tmp_path):
    values = np.zeros((4, 4, 3), np.uint8)
    values[1, 1] = (255, 0, 0)
    with pytest.raises(ValueError, match=r"must be grey, got colours in .*mask\.png"):
        read_mask(write(tmp_path / "mask.png", values))


@pytest.mark.parametrize("reader", [read_mask, read_label_map])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.tif"])
def test_labels_that_are_not_finite_are_named(tmp_path, reader, value, name):
    values = np.zeros((3, 4, 5) if ".nii" in name else (3, 4), np.float32)
    values.flat[1] = value
    with pytest.raises(ValueError, match=rf"(finite values, got 1|0 and 1, or 0 and 255, got).*{name}"):
        reader(write(tmp_path / name, values))


@pytest.mark.parametrize("value", [0.9999999, 1.0000001, 1.9999999])
def test_rounding_of_whole_numbers_is_taken(tmp_path, value):
    path = write(tmp_path / "label.nii.gz", np.full((2, 2, 2), value, np.float64))
    assert read_label_map(path).unique().tolist() == [round(value)]


def test_a_label_between_whole_numbers_is_shown_as_it_is(tmp_path):
    path = write(tmp_path / "label.nii.gz", np.full((2, 2, 2), 0.5, np.float32))
    with pytest.raises(ValueError, match=r"label must hold whole numbers, got 0\.5 in .*label\.nii\.gz"):
        read_label_map(path)


def test_labels_of_classes_do_not_come_in_compressed_files(tmp_path):
    with pytest.raises(ValueError, match=r"label map must be kept without loss, got .*label\.jpg"):
        read_label_map(write(tmp_path / "label.jpg", SQUARE))


def test_several_channels_are_named(tmp_path):
    path = write(tmp_path / "label.nii.gz", np.zeros((4, 4, 4, 2), np.uint8))
    with pytest.raises(ValueError, match=r"label must have one channel, got 2 in .*label\.nii\.gz"):
        read_label_map(path)


def noisy(path):
    values = np.zeros((16, 16), np.uint8)
    values[0, 0], values[12, 3] = 2, 1
    return write(path, values)


def test_a_little_noise_is_no_foreground_where_foreground_is_255(tmp_path):
    paths = [noisy(tmp_path / "a.png"), write(tmp_path / "b.png", SQUARE * 255)]
    assert {place: int(mask.sum()) for place, mask in read_masks(paths)} == {0: 0, 1: 25}


@pytest.mark.parametrize("other", [SQUARE, np.zeros((16, 16), np.uint8)])
def test_it_may_be_two_classes_elsewhere(tmp_path, other):
    paths = [noisy(tmp_path / "a.png"), write(tmp_path / "b.png", other)]
    with pytest.raises(ValueError, match=r"got 0, 1, 2 in .*a\.png"):
        list(read_masks(paths))


def test_more_than_a_little_is_no_noise(tmp_path):
    paths = [write(tmp_path / "a.png", SQUARE * 2), write(tmp_path / "b.png", SQUARE * 255)]
    with pytest.raises(ValueError, match=r"got 0, 2 in .*a\.png"):
        list(read_masks(paths))


def test_foreground_has_one_value_in_a_collection(tmp_path):
    paths = [write(tmp_path / "a.png", SQUARE), write(tmp_path / "b.png", SQUARE * 255)]
    with pytest.raises(ValueError, match=r"masks must have one value of foreground, got 1 in .*a\.png and 255 in .*b"):
        list(read_masks(paths))
    assert [int(mask.sum()) for _, mask in read_masks(paths, threshold=1)] == [25, 25]


@pytest.mark.parametrize(("value", "inside"), [(0, False), (120, False), (127, False), (128, True), (136, True)])
def test_a_compressed_mask_is_cut_from_128_on(tmp_path, value, inside):
    """A block of one value is kept exactly; few pixels lie in between, so that it is a mask."""
    values = np.zeros((64, 64), np.uint8)
    values[8:16, 8:16] = value
    Image.fromarray(values).save(tmp_path / "mask.jpg", quality=100)
    assert bool(read_mask(tmp_path / "mask.jpg")[0, 12, 12]) is inside


@pytest.mark.parametrize(("value", "clear"), [(56, True), (72, False), (128, False), (184, False), (200, True)])
def test_grey_is_what_lies_in_the_middle_half(tmp_path, value, clear):
    Image.fromarray(np.full((64, 64), value, np.uint8)).save(tmp_path / "mask.jpg", quality=100)
    if clear:
        assert read_mask(tmp_path / "mask.jpg").all() == (value > 127)
        return
    with pytest.raises(ValueError, match=r"mask must be black and white, got 100%"):
        read_mask(tmp_path / "mask.jpg")


@pytest.mark.parametrize(("value", "is_noise"), [(16, True), (17, False), (200, False)])
def test_noise_has_small_values(tmp_path, value, is_noise):
    values = np.zeros((16, 16), np.uint8)
    values[0, 0], values[12, 3] = 2, value
    paths = [write(tmp_path / "a.png", values), write(tmp_path / "b.png", SQUARE * 255)]
    if is_noise:
        assert {place: int(mask.sum()) for place, mask in read_masks(paths)} == {0: 0, 1: 25}
        return
    with pytest.raises(ValueError, match=rf"got 0, 2, {value} in .*a\.png"):
        list(read_masks(paths))


@pytest.mark.parametrize(("value", "label"), [(1.0009, 1), (0.9991, 1), (1.002, None), (0.8, None)])
def test_a_thousandth_is_rounding_and_more_is_not(tmp_path, value, label):
    path = write(tmp_path / "label.nii.gz", np.full((2, 2, 2), value, np.float32))
    if label is not None:
        assert read_label_map(path).unique().tolist() == [label]
        return
    with pytest.raises(ValueError, match=r"label must hold whole numbers"):
        read_label_map(path)


@pytest.mark.parametrize("name", ["ids.tif", "ids.nii.gz"])
@pytest.mark.parametrize("value", [2**24, 2**24 + 1, 182305693, 2**31 - 1])
def test_labels_that_float32_merges_are_refused(tmp_path, name, value):
    values = np.array([[0, value]], np.int32)
    path = write(tmp_path / name, values[..., None] if ".nii" in name else values)
    with pytest.raises(ValueError, match=rf"label must be below 16777216, .*, got about \d+ in .*{name}; number"):
        read_label_map(path)
    assert read_mask(path, threshold=1).flatten().tolist() == [False, True]  # of instances it does not matter which
    with pytest.raises(ValueError, match="threshold must be at most 16777216, got 16777217"):
        read_mask(path, threshold=2**24 + 1)


@pytest.mark.parametrize("name", ["ids.tif", "ids.nii.gz"])
def test_the_largest_labels_are_read_as_they_are(tmp_path, name):
    values = np.array([[2**24 - 2, 2**24 - 1]], np.int32)
    path = write(tmp_path / name, values[..., None] if ".nii" in name else values)
    assert read_label_map(path).flatten().tolist() == [2**24 - 2, 2**24 - 1]
    assert read_mask(path, threshold=2**24 - 1).flatten().tolist() == [False, True]
