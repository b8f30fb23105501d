# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Flat files in every depth that PNG and TIFF have, written by hand: the stored values are read, or the file is named.

Pillow drops the low bits of some, inverts some, and leaves channels out, without a word.
"""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from itertools import product

import numpy as np
import pytest
from PIL import Image

from monai_coat.apps.limits import Limits
from monai_coat.data import check_readable, read_image, read_label_map, read_map, read_mask
from monai_coat.data.flat_files import size_of_flat

READERS = [read_image, read_label_map, read_map, read_mask]
GREY = {"L", "LA"}
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}
COLOUR_TYPE = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}


def square(top, kind):
    """A square of the largest value, alpha opaque, as whole numbers ``(4, 6, channels)``."""
    values = np.zeros((4, 6, CHANNELS[kind]), np.int64)
    values[:2, :3] = top
    if kind in {"LA", "RGBA"}:
        values[..., -1] = top
    return values


def packed(values, bits, order=">"):
    """Rows of samples, each row filled up to whole bytes."""
    if bits >= 8:
        return [row.astype(f"{order}u{bits // 8}").tobytes() for row in values]
    each = [np.unpackbits(row.ravel().astype(np.uint8)[:, None], axis=1)[:, 8 - bits :] for row in values]
    return [np.packbits(row.ravel()).tobytes() for row in each]


def write_png(path, values, bits, kind):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">2I5B", values.shape[1], values.shape[0], bits, COLOUR_TYPE[kind], 0, 0, 0)
    rows = b"".join(b"\0" + row for row in packed(values, bits))
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


def write_tiff(path, rows, size, fields, order="<"):
    """A TIFF of one strip; ``fields`` by number, each a whole number or several."""
    data = b"".join(rows)
    height, width = size
    fields = {256: width, 257: height, 259: 1, 273: 8, 278: height, 279: len(data), **fields}
    extra, entries = b"", b""
    for tag, value in sorted(fields.items()):
        numbers = np.atleast_1d(value).astype(f"{order}u2")
        if np.ndim(value) == 0:
            entries += struct.pack(f"{order}HHII", tag, 4, 1, value)
        elif len(numbers) <= 2:
            entries += struct.pack(f"{order}HHI", tag, 3, len(numbers)) + numbers.tobytes().ljust(4, b"\0")
        else:
            entries += struct.pack(f"{order}HHII", tag, 3, len(numbers), 8 + len(data) + len(extra))
            extra += numbers.tobytes()
    start = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(data) + len(extra))
    path.write_bytes(start + data + extra + struct.pack(f"{order}H", len(fields)) + entries + bytes(4))


def fields_of(kind, bits):
    photometric = {"L": 1, "LA": 1, "CMYK": 5}.get(kind, 2)
    fields = {258: [bits] * CHANNELS[kind], 262: photometric, 277: CHANNELS[kind]}
    return fields | ({338: [2]} if kind in {"LA", "RGBA"} else {})


PNGS = [("L", bits) for bits in (1, 2, 4, 8, 16)] + list(product(["LA", "RGB", "RGBA"], [8, 16]))
TIFFS = [("L", bits, order) for bits, order in product((1, 2, 4, 8, 16), "<>")]
TIFFS += list(product(["LA", "RGB", "RGBA", "CMYK"], [8, 16], "<>"))


def read_or_named(reader, path):
    """What is read, or None if the file is refused by its name."""
    try:
        return reader(path)
    except ValueError as error:
        if path.name not in str(error):
            raise
        return None


def is_bright(values):
    """Where a picture ``(height, width)`` is brighter than half."""
    return np.greater(values[0].numpy().T, values.max().item() / 2)


def check_named_or_right(reader, path, kind, bits):
    """The square is read, or the file is named; what has more bits in several channels is always named."""
    values = read_or_named(reader, path)
    if values is None:
        assert bits != 8 or kind == "CMYK"
        return None
    assert bits <= 8 or kind == "L"
    inside = square(1, kind)[..., 0] > 0
    assert np.array_equal(is_bright(values), ~inside if kind == "CMYK" else inside)
    return values


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("kind", "bits"), PNGS)
def test_every_depth_of_png(tmp_path, reader, kind, bits):
    write_png(tmp_path / "a.png", square(2**bits - 1, kind), bits, kind)
    values = check_named_or_right(reader, tmp_path / "a.png", kind, bits)
    if bits == 16 and kind != "L":
        with pytest.raises(ValueError, match=r"8 bits a channel, or one grey channel, got 16 bits .*a\.png"):
            check_readable([{"image": tmp_path / "a.png"}])
    elif reader is read_map:
        assert values.max() == 1
    elif reader is read_mask:
        assert values.sum() == 6


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("kind", "bits", "order"), TIFFS)
def test_every_depth_of_tiff(tmp_path, reader, kind, bits, order):
    rows = packed(square(2**bits - 1, kind), bits, order)
    write_tiff(tmp_path / "a.tif", rows, (4, 6), fields_of(kind, bits), order)
    values = check_named_or_right(reader, tmp_path / "a.tif", kind, bits)
    assert reader is not read_map or values is None or kind == "CMYK" or values.max() == 1


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_compressed_files_of_sixteen_bits_a_channel_are_named_too(tmp_path, reader, compression):
    """Rows of Pillow's RGB, put together again as 16 bits by the header."""
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "a.tif", compression=compression)
    content = (tmp_path / "a.tif").read_bytes()
    assert content.count(struct.pack("<HHH", 8, 8, 8)) == 1
    (tmp_path / "a.tif").write_bytes(content.replace(struct.pack("<HHH", 8, 8, 8), struct.pack("<HHH", 16, 16, 16)))
    with pytest.raises(ValueError, match=r"a\.tif"):
        reader(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"got 16 bits in the channels of .*a\.tif"):
        size_of_flat(tmp_path / "a.tif")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16, 32])
def test_white_as_zero_is_read_as_viewers_show_it_or_refused(tmp_path, reader, bits, order):
    """Pillow inverts up to 8 bits; more it does not, and there the same picture would be read as its negative."""
    values = square(2**bits - 1 if bits < 32 else 1, "L")
    rows = packed(values, bits, order) if bits < 32 else [row.astype(f"{order}f4").tobytes() for row in values]
    fields = fields_of("L", bits) | {262: 0, 339: [3 if bits == 32 else 1]}
    write_tiff(tmp_path / "a.tif", rows, (4, 6), fields, order)
    found = read_or_named(reader, tmp_path / "a.tif")
    if found is None:
        assert bits > 8 or (reader is read_label_map and bits in {2, 4})
    else:
        assert bits <= 8
        assert np.array_equal(is_bright(found), values[..., 0] == 0)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("order", "<>")
def test_signed_bytes_are_refused(tmp_path, reader, order):
    fields = fields_of("L", 8) | {339: [2]}
    write_tiff(tmp_path / "a.tif", packed(square(255, "L"), 8, order), (4, 6), fields, order)
    with pytest.raises(ValueError, match=r"values from 0 on in 8 bits, got signed ones in .*a\.tif"):
        reader(tmp_path / "a.tif")


@pytest.mark.parametrize("reader", READERS)
def test_twelve_bits_are_refused(tmp_path, reader):
    """Pillow gives 4095 as such in 16 bits, where it would be a probability of a sixteenth."""
    write_tiff(tmp_path / "a.tif", [b"\xff" * 9] * 4, (4, 6), fields_of("L", 12))
    with pytest.raises(ValueError, match=r"1, 2, 4, 8, 16 or 32 bits a value, got 12 in .*a\.tif"):
        reader(tmp_path / "a.tif")


@pytest.mark.parametrize("reader", READERS)
def test_a_second_channel_without_a_meaning_is_not_left_out(tmp_path, reader):
    """It may be the mask of a second class."""
    fields = {258: [8, 8], 262: 1, 277: 2, 338: [0]}
    write_tiff(tmp_path / "a.tif", packed(square(255, "LA"), 8), (4, 6), fields)
    with pytest.raises(ValueError, match=r"channels with a meaning, got 2 of which .* in .*a\.tif"):
        reader(tmp_path / "a.tif")


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_labels_that_pillow_stretches_are_refused(tmp_path, bits, name):
    """A label 1 of 4 bits would be 17, and a threshold of 2 would be passed by it."""
    values, path = square(1, "L"), tmp_path / name
    if name == "a.png":
        write_png(path, values, bits, "L")
    else:
        write_tiff(path, packed(values, bits), (4, 6), fields_of("L", bits))
    with pytest.raises(ValueError, match=rf"labels must have .* got grey of {bits} bits in .*{name}"):
        read_label_map(path)
    with pytest.raises(ValueError, match=rf"labels must have .* got grey of {bits} bits in .*{name}"):
        read_mask(path, threshold=2)
    with pytest.raises(ValueError, match=rf"mask must hold 0 and 1, or 0 and 255, got 0, .*{name}"):
        read_mask(path)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("kind", "bits"), PNGS)
def test_a_png_without_pixels_is_named(tmp_path, reader, kind, bits):
    write_png(tmp_path / "a.png", square(1, kind), bits, kind)
    content = (tmp_path / "a.png").read_bytes()
    start = content.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(content[:start] + content[content.index(b"IEND") - 4 :])
    with pytest.raises(ValueError, match=r"a\.png"):
        reader(tmp_path / "a.png")
    with suppress(ValueError), (tmp_path / "a.png").open("rb") as file:  # the header alone is whole
        Limits().check(file, "a.png")
