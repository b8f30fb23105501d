# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""An image that is too large is refused by its header, before anything of it is unpacked."""

from __future__ import annotations

import gzip
import io
import math
import tracemalloc
from itertools import product

import nibabel
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Orientation, Spacing

from monai_coat.apps.limits import Limits
from tests.apps.hostile_files import REFUSED_HEADERS, SROW, bomb, edited, png, volume
from tests.data.test_stored_values import square, write_png

MILLION = Limits(2**20, (1.0, 1.0, 1.0))


def refused(content: bytes, name: str, limits: Limits = MILLION) -> str:
    with pytest.raises(ValueError, match="must") as error:
        limits.check(io.BytesIO(content), name)
    return str(error.value)


@pytest.mark.parametrize("what", REFUSED_HEADERS)
def test_headers_that_no_reader_could_use_are_named(what: str):
    words, make = REFUSED_HEADERS[what]
    for content, name in ((make(), "a.nii"), (gzip.compress(make()), "a.nii.gz")):
        message = refused(content, name)
        assert words in message
        assert name in message
        assert "0x" not in message


def test_a_bomb_is_refused_without_being_unpacked():
    content = bomb()
    assert len(content) < 110_000
    tracemalloc.start()
    message = refused(content, "scan.nii.gz", Limits())
    assert "at most 67108864 voxels, got 104857600 (512 x 512 x 400) in scan.nii.gz" in message
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    assert Limits(2**27).check(io.BytesIO(content), "scan.nii.gz") == (512, 512, 400)


def test_extensions_are_not_read():
    """They say their length themselves; a reader that believes them unpacks as much."""
    header = bytearray(edited(SROW, "f", 1.0)[:352])
    header[348] = 1
    content = gzip.compress(bytes(header) + (10**9).to_bytes(4, "little") + bytes(10**7))
    tracemalloc.start()
    assert MILLION.check(io.BytesIO(content), "a.nii.gz") == (20, 24, 16)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_flat_images_are_measured_without_their_pixels():
    content = png((20_000, 20_000), "1")
    assert "at most 1048576 voxels, got 400000000 (20000 x 20000)" in refused(content, "a.png") or (
        "decompression bomb" in refused(content, "a.png")
    )
    assert "got 2000000 (2000 x 1000)" in refused(png((2000, 1000)), "a.png")
    assert MILLION.check(io.BytesIO(png((1000, 1000), kind="JPEG")), "a.jpg") == (1000, 1000)


@pytest.mark.parametrize("kind", ["LA", "RGB", "RGBA"])
def test_bits_that_would_be_dropped_are_named(tmp_path, kind: str):
    write_png(tmp_path / "a.png", square(65535, kind), 16, kind)
    assert "8 bits a channel, or one grey channel, got 16 bits in the channels of a.png" in refused(
        (tmp_path / "a.png").read_bytes(), "a.png"
    )
    write_png(tmp_path / "a.png", square(255, kind), 8, kind)
    assert MILLION.check_path(tmp_path / "a.png") == (6, 4)


@pytest.mark.parametrize("kind", ["GIF", "PPM", "WEBP", "ICO", "EPS"])
def test_other_formats_under_a_known_ending_are_not_opened(kind: str):
    assert "it is no PNG, JPEG, BMP or TIFF" in refused(png((8, 8), "RGB", kind), "a.png")


def test_endings_and_missing_files_are_named(tmp_path):
    assert "must end with one of .png, .jpg" in refused(b"import os", "evil.py")
    with pytest.raises(ValueError, match=r"must be a readable image, got .*gone\.nii"):
        MILLION.check_path(tmp_path / "gone.nii")
    with pytest.raises(ValueError, match="max_voxels must be at least 1, got 0"):
        Limits(0)


@given(
    size=st.tuples(*[st.integers(2, 12)] * 3),
    edges=st.tuples(*[st.floats(0.3, 3.0)] * 3),
    order=st.permutations(range(3)),
    angle=st.floats(-0.7, 0.7),
)
def test_the_resampled_size_is_what_monai_makes_of_it(size, edges, order, angle):
    lengths = [(n - 1) * edge / to for n, edge, to in product(size, edges, (1.0, 1.5, 2.0))]
    assume(all(abs(length % 1 - 0.5) > 1e-3 for length in lengths))  # where rounding could go either way
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = (turn @ np.diag(edges))[:, order]
    content = volume(np.zeros(size, np.uint8), affine)
    image = nibabel.Nifti1Image.from_bytes(content)
    tensor = MetaTensor(np.zeros((1, *size), np.float32), affine=image.affine)
    made = Spacing((1.0, 1.5, 2.0))(Orientation("RAS", labels=None)(tensor))
    count = math.prod(made.shape[1:])
    if count > math.prod(size):
        message = refused(content, "a.nii", Limits(count - 1, (1.0, 1.5, 2.0)))
        assert "when it is resampled to 1 x 1.5 x 2 mm" in message
    cubes = Spacing((1.0, 1.0, 1.0))(Orientation("RAS", labels=None)(tensor))
    exact = max(math.prod(cubes.shape[1:]), math.prod(size))
    assert Limits(exact, (1.0, 1.0, 1.0)).check(io.BytesIO(content), "a.nii") == size
