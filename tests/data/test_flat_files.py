# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Flat files in every form that Pillow writes: upright, whole, one page, or refused by name."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps

from monai_coat.data import read_image, read_label_map, read_map, read_mask
from monai_coat.data.flat_files import size_of_flat

READERS = [read_image, read_label_map, read_map, read_mask]


def corner(size=(6, 4)):
    """A mask of one dark background and a bright corner, which no turn leaves where it is."""
    values = np.zeros(size, np.uint8)
    values[:2, :3] = 255
    return values


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("reader", READERS)
def test_files_are_turned_as_viewers_turn_them(tmp_path, reader, orientation):
    """Against Pillow's own turning of the stored pixels."""
    path, exif = tmp_path / "a.png", Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(corner())
    stored.save(path, exif=exif)
    with Image.open(path) as image:
        shown = np.asarray(ImageOps.exif_transpose(image)) > 127
    assert np.array_equal(reader(path)[0].numpy().T > 0.5, shown)
    assert size_of_flat(path) == shown.shape[::-1]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_several_pages_are_refused(tmp_path, reader, name):
    pages = [Image.fromarray(corner()) for _ in range(3)]
    pages[1].putpixel((0, 0), 1)
    pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match=rf"image must have one page, got 3 in .*{name}"):
        reader(tmp_path / name)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp"])
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.6])
def test_damaged_files_are_named(tmp_path, reader, name, keep):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(ValueError, match=rf"must be a readable file, got .*{name}"):
        reader(tmp_path / name)


@pytest.mark.parametrize("reader", READERS)
def test_an_array_that_pretends_to_be_an_image_is_not_unpickled(tmp_path, reader):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    with (tmp_path / "a.png").open("wb") as file:
        np.save(file, np.array([Bomb()], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"must be a readable file, got .*a\.png"):
        reader(tmp_path / "a.png")
    assert not (tmp_path / "ran").exists()


def test_a_picture_too_large_to_be_meant_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8)
    Image.fromarray(corner()).save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=r"must be a readable file, got .*a\.png .*decompression bomb"):
            read_image(tmp_path / "a.png")


MODES = [
    "1",
    "L",
    "LA",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBX",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
    "I;16",
    "I;16B",
    "La",
    "RGBa",
]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_read_right_or_refused_by_name(tmp_path, reader, mode):
    """One square, in every mode that Pillow knows: what is read is the square, or the file is named."""
    source = Image.fromarray(corner())
    if mode.startswith(("I", "F")):
        values = corner().astype(np.int32) * (1 if mode == "I" else 257)
        types = {"F": np.float32, "I": np.int32, "I;16": "<u2", "I;16B": ">u2"}
        image = Image.fromarray((values / 65535 if mode == "F" else values).astype(types[mode]))
    else:
        steps = {"La": ["LA"], "RGBa": ["RGBA"], "LAB": [], "HSV": ["RGB"], "PA": ["P"]}.get(mode, [])
        image = source
        try:
            for step in [*steps, mode]:
                image = image.convert(step)
        except ValueError:
            image = Image.new(mode, source.size)
    path = next((p for p in (tmp_path / "a.png", tmp_path / "a.tif", tmp_path / "a.jpg") if saved(image, p)), None)
    if path is None:
        pytest.skip("no format of ours holds this mode")
    values = read_or_named(reader, path)
    if values is not None:
        bright = np.greater(values[0].numpy().T, values.max().item() / 2)
        assert np.array_equal(bright, corner() > 127)
        assert reader is not read_map or values.max() == 1


def read_or_named(reader, path):
    """What is read, or None if the file is refused by its name."""
    try:
        return reader(path)
    except ValueError as error:
        if path.name not in str(error):
            raise
        return None


def saved(image, path):
    try:
        image.save(path)
    except (OSError, KeyError, ValueError):
        path.unlink(missing_ok=True)
        return False
    return True


def test_the_modes_that_people_have_are_read(tmp_path):
    """What must not be among the refused."""
    for mode in ("1", "L", "P", "RGB", "CMYK"):
        path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
        Image.fromarray(corner()).convert(mode).save(path)
        assert read_image(path).shape == (3, 4, 6)
        assert read_mask(path).sum() == 6


def test_the_main_picture_of_a_telephone_is_read(tmp_path):
    """Their JPEG files hold a preview as a second page."""
    main, preview = Image.fromarray(corner((16, 16))), Image.fromarray(corner((8, 8)))
    main.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[preview])
    assert read_image(tmp_path / "a.jpg").shape == (3, 16, 16)


@pytest.mark.parametrize("reader", [read_label_map, read_map, read_mask])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_colour_is_no_grey_however_weak_unless_the_file_is_lossy(tmp_path, reader, channel):
    values = np.stack([corner()] * 3, -1)
    values[0, 0, channel] = 254
    Image.fromarray(values).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"must be grey, got colours in .*a\.png"):
        reader(tmp_path / "a.png")


@pytest.mark.parametrize("reader", [read_label_map, read_map, read_mask])
def test_an_alpha_that_is_almost_opaque_is_refused(tmp_path, reader):
    image = Image.fromarray(corner()).convert("LA")
    image.putalpha(254)
    image.save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"must have opaque pixels, got alpha down to 254 in .*a\.png"):
        reader(tmp_path / "a.png")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["a.png", "a.nii", "a.nii.gz"])
def test_a_device_is_not_opened(tmp_path, reader, name):
    (tmp_path / name).symlink_to("/dev/null")
    with pytest.raises(ValueError, match=rf"must be a readable .*{name} \(it is a device or a pipe"):
        reader(tmp_path / name)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a"])
def test_other_endings_are_refused(tmp_path, reader, name):
    Image.fromarray(corner()).save(tmp_path / name, format="GIF")
    with pytest.raises(ValueError, match=rf"must be a readable file, got .*{name} \(its ending is none of \.png, "):
        reader(tmp_path / name)
