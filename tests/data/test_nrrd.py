# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""NRRD volumes, against the library that writes them."""

from __future__ import annotations

import gzip
import itertools

import nrrd
import numpy as np
import pytest

from monai_coat.data.nrrd import MOST_VALUES, nrrd_grid, read_nrrd, write_nrrd

DIRECTIONS = np.array([[0.0, 2.0, 0.0], [-1.5, 0.0, 0.0], [0.0, 0.1, 3.0]])
SIGNS = {
    "left-posterior-superior": (-1, -1, 1),
    "LPS": (-1, -1, 1),
    "right-anterior-superior": (1, 1, 1),
    "RAS": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
}


def header(space: str = "left-posterior-superior", **more: object) -> dict:
    return {"space": space, "space directions": DIRECTIONS, "space origin": np.array([1.0, -2.0, 3.0]), **more}


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "u1", "i1", "<u2", ">i2", "<i4", "<u4", "<i8"])
def test_values_of_every_type_are_those_that_were_written(tmp_path, encoding, dtype, rng):
    values = (rng.random((4, 3, 5)) * 100).astype(dtype)
    nrrd.write(str(tmp_path / "a.nrrd"), values, header(encoding=encoding))
    found = read_nrrd(tmp_path / "a.nrrd", None)
    assert found.shape == (1, 4, 3, 5)
    assert np.array_equal(found[0].numpy(), values)


@pytest.mark.parametrize("space", SIGNS)
def test_a_voxel_lies_where_the_header_puts_it(tmp_path, space):
    nrrd.write(str(tmp_path / "a.nrrd"), np.zeros((4, 3, 5), np.float32), header(space))
    affine, size = nrrd_grid(tmp_path / "a.nrrd")
    assert size == (4, 3, 5)
    assert np.array_equal(np.asarray(read_nrrd(tmp_path / "a.nrrd").affine), affine)
    for index in itertools.product((0, 3), (0, 2), (0, 4)):
        place = np.array([1.0, -2.0, 3.0]) + sum(i * row for i, row in zip(index, DIRECTIONS, strict=True))
        assert np.allclose(affine @ [*index, 1], [*(place * SIGNS[space]), 1])


@pytest.mark.parametrize("axis", range(4))
def test_channels_may_be_any_axis(tmp_path, axis, rng):
    values = rng.random((2, 4, 3, 5)).astype(np.float32)
    rows = np.insert(DIRECTIONS, axis, np.nan, axis=0)
    nrrd.write(str(tmp_path / "a.nrrd"), np.moveaxis(values, 0, axis), header() | {"space directions": rows})
    assert np.array_equal(read_nrrd(tmp_path / "a.nrrd").numpy(), values)
    assert nrrd_grid(tmp_path / "a.nrrd")[1] == (4, 3, 5)


def test_what_is_written_is_read_back_by_the_library(tmp_path, rng):
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = DIRECTIONS.T, (4, 5, 6)
    values = rng.integers(0, 3, (4, 3, 5)).astype(np.uint8)
    write_nrrd(values, affine, tmp_path / "new/a.nrrd")
    found, said = nrrd.read(str(tmp_path / "new/a.nrrd"))
    assert np.array_equal(found, values)
    assert said["space"] == "left-posterior-superior"
    assert np.allclose(said["space directions"].T, np.diag([-1, -1, 1]) @ affine[:3, :3])
    assert np.allclose(nrrd_grid(tmp_path / "new/a.nrrd")[0], affine)


def test_without_a_space_axes_are_as_they_are(tmp_path):
    nrrd.write(str(tmp_path / "a.nrrd"), np.zeros((2, 3, 4), np.float32), {"spacings": [1.0, 2.0, 3.0]})
    assert np.array_equal(nrrd_grid(tmp_path / "a.nrrd")[0], np.diag([1.0, 2.0, 3.0, 1.0]))


def plain(*lines: str, data: bytes = b"\0" * 24) -> bytes:
    known = {"type": "uchar", "dimension": "3", "sizes": "2 3 4", "encoding": "raw"}
    known |= dict(line.split(": ", 1) for line in lines)
    text = "NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in known.items() if value != "-")
    return text.encode() + b"\n" + data


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "does not begin as one"),
        (b"NRRD0004\ntype: uchar\n", "does not begin as one"),
        (
            plain("data file: ../../secret.raw", data=b""),
            "its values must follow the header, got the field 'data file'",
        ),
        (plain("byte skip: -1"), "got the field 'byte skip'"),
        (plain(data=b"\0" * 23), "it must have 24 bytes of values, got fewer"),
        (plain(data=b"\0" * 25), "it must have 24 bytes of values, got more"),
        (plain("encoding: gzip", data=gzip.compress(b"\0" * 2**24)), "it must have 24 bytes of values, got more"),
        (plain("encoding: gzip", data=b"no gzip"), "incorrect header check"),
        (plain("encoding: ascii"), "its encoding must be raw or gzip, got ascii"),
        (plain("sizes: 100000 100000 100000"), f"more than {MOST_VALUES}"),
        (plain("sizes: 2 -3 4"), "it must hold real numbers, got uchar of sizes"),
        (plain("type: block"), "it must hold real numbers, got block"),
        (plain("type: short", data=b"\0" * 48), "it must say 'endian: little' or 'endian: big'"),
        (plain("sizes: 4 6", "dimension: 2"), "its space must be one of"),
        (plain("space: scanner-xyz"), "its space must be one of"),
        (plain("sizes: none"), "read"),
    ],
)
def test_what_is_no_volume_is_refused_by_name(tmp_path, content, said):
    (tmp_path / "a.nrrd").write_bytes(content)
    with pytest.raises(ValueError, match=r"volume must be a readable NRRD file, got .*a\.nrrd") as error:
        read_nrrd(tmp_path / "a.nrrd")
    assert said in str(error.value)


def test_an_affine_that_places_no_voxel_is_refused(tmp_path):
    nrrd.write(str(tmp_path / "a.nrrd"), np.zeros((2, 3, 4)), header() | {"space directions": np.zeros((3, 3))})
    with pytest.raises(ValueError, match=r"affine must say where voxels lie"):
        read_nrrd(tmp_path / "a.nrrd")
