# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""NumPy's files: the axes they can have, and their values, pixel by pixel."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from monai_coat.data.arrays import array_shape, axes_that_fit, read_array, to_channels_first
from monai_coat.data.map_format import AXES


@pytest.mark.parametrize("axes", AXES)
def test_axes_are_told_by_sizes_and_put_in_one_order(axes):
    """Each voxel's value says where it lies."""
    lengths = {"c": 2, "x": 5, "y": 7, "z": 3}
    size = [lengths[axis] for axis in "xyz" if axis in axes]
    array = np.zeros([lengths[axis] for axis in axes])
    for place in itertools.product(*[range(lengths[axis]) for axis in axes]):
        at = dict(zip(axes, place, strict=True))
        array[place] = 1000 * at.get("c", 0) + 100 * at["x"] + 10 * at["y"] + at.get("z", 0)
    assert axes_that_fit(array.shape, size) == [axes]
    found = to_channels_first(array, axes)
    assert found.shape == (2 if "c" in axes else 1, *size)
    for place in np.ndindex(found.shape):
        c, x, y, z = (*place, 0)[:4]
        assert found[place] == 1000 * c + 100 * x + 10 * y + z


@pytest.mark.parametrize(
    ("shape", "size", "axes"),
    [
        ((9, 9), (9, 9), ["yx", "xy"]),
        ((2, 9, 9), (9, 9), ["cyx", "cxy"]),
        ((4, 4, 4), (4, 4), ["cyx", "cxy", "yxc", "xyc"]),
        ((5, 6), (7, 6), []),
        ((4, 5, 4), (4, 5, 4), ["zyx", "xyz"]),
        ((1, 2, 3, 4), (4, 3, 2), ["czyx"]),
    ],
)
def test_what_fits_by_hand(shape, size, axes):
    assert axes_that_fit(shape, size) == axes


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.dtype(">f4"), np.uint8, np.bool_])
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_values_are_those_of_the_file(tmp_path, dtype, name):
    values = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype)
    save = np.savez_compressed if name.endswith("z") else np.save
    for array in (values, np.asfortranarray(values)):
        save(tmp_path / name, array)
        assert np.array_equal(read_array(tmp_path / name), values)
        assert array_shape(tmp_path / name) == (2, 3, 4)


def test_the_array_that_is_meant_is_known_by_its_name(tmp_path):
    np.savez(tmp_path / "a.npz", probabilities=np.ones((1, 2)), other=np.zeros(3))
    assert array_shape(tmp_path / "a.npz") == read_array(tmp_path / "a.npz").shape == (1, 2)
    np.savez(tmp_path / "b.npz", one=np.ones(2), other=np.zeros(3))
    with pytest.raises(ValueError, match=r"must hold one array, or one called 'probabilities', got one, other"):
        read_array(tmp_path / "b.npz")


def test_what_is_no_array_of_numbers_is_refused_by_name(tmp_path):
    np.save(tmp_path / "object.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "object.npz", np.array([{}]))
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "complex.npy", np.ones(2, complex))
    np.save(tmp_path / "cut.npy", np.ones(200))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-8])
    (tmp_path / "empty.npy").touch()
    (tmp_path / "empty.npz").touch()
    (tmp_path / "folder.npy").mkdir()
    for path in [*tmp_path.iterdir(), tmp_path / "none.npy"]:
        with pytest.raises(ValueError, match=rf"array must be a readable file of NumPy's, got .*{path.name}"):
            read_array(path)
