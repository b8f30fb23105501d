# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Volumes on one another: every order of axes and flip that NIfTI can say, and what is refused."""

from __future__ import annotations

import gzip
from itertools import permutations, product

import monai
import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import LoadImage
from nibabel.orientations import axcodes2ornt
from PIL import Image

from monai_coat.data import check_readable, read_image, read_label_map, read_map, read_mask, to_grid
from monai_coat.data.volumes import read_volume, volume_grid

AXES = [
    tuple(pair[i] for pair, i in zip(order, flips, strict=True))
    for order in permutations(("RL", "AP", "SI"))
    for flips in product((0, 1), repeat=3)
]
TURN = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])


def affine_of(kind):
    affine = np.eye(4)
    if kind != "plain":
        affine[:3, :3] = TURN @ np.diag([0.5, 0.7, 5.0])
        affine[:3, 3] = (-40, 12, 300)
    return affine


def volume(kind="plain", shape=(3, 4, 5), seed=0):
    values = np.random.default_rng(seed).integers(0, 2, shape).astype(np.uint8)
    return nibabel.Nifti1Image(values, affine_of(kind))


@pytest.mark.parametrize("kind", ["plain", "oblique and anisotropic"])
@pytest.mark.parametrize("axes", AXES, ids="".join)
@pytest.mark.parametrize("reader", [read_image, read_label_map, read_map, read_mask])
def test_a_volume_in_another_order_comes_back(tmp_path, kind, axes, reader):
    """Against nibabel's own reorientation: the voxels of the turned file are those of the first one."""
    first = volume(kind)
    nibabel.save(first.as_reoriented(axcodes2ornt(axes)), tmp_path / "turned.nii")
    grid = (first.affine, first.shape)
    values = to_grid(reader(tmp_path / "turned.nii"), grid, ("turned", "first"))
    assert np.array_equal(values[0].numpy(), np.asarray(first.dataobj))
    assert np.allclose(values.affine.numpy(), first.affine, atol=1e-4)


def test_rounding_in_headers_is_no_other_place(tmp_path):
    first = volume("oblique", (40, 50, 60))
    shifted = first.affine + 1e-4
    nibabel.save(nibabel.Nifti1Image(np.asarray(first.dataobj), shifted), tmp_path / "b.nii")
    assert to_grid(read_mask(tmp_path / "b.nii"), (first.affine, first.shape), ("b", "a")).sum() > 0


@pytest.mark.parametrize("change", ["shift", "scale", "turn"])
def test_another_place_is_refused_by_name(tmp_path, change):
    first, affine = volume(), np.eye(4)
    if change == "shift":
        affine[1, 3] = 0.5
    elif change == "scale":
        affine[2, 2] = 1.2
    else:
        affine[:3, :3] = TURN
    nibabel.save(first, tmp_path / "image.nii")
    nibabel.save(nibabel.Nifti1Image(np.asarray(first.dataobj), affine), tmp_path / "label.nii")
    with pytest.raises(ValueError, match=r"must lie on one another, got label up to .* voxels from image"):
        to_grid(read_mask(tmp_path / "label.nii"), (first.affine, first.shape), ("label", "image"))
    with pytest.raises(ValueError, match=r"must lie on one another, got .*label\.nii up to .*image\.nii"):
        check_readable([{key: str(tmp_path / f"{key}.nii") for key in ("image", "label")}])


def test_another_size_is_refused_by_name(tmp_path):
    nibabel.save(volume(shape=(3, 4, 6)), tmp_path / "label.nii")
    with pytest.raises(ValueError, match=r"one size, got \(3, 4, 6\) of label and \(3, 4, 5\) of image"):
        to_grid(read_mask(tmp_path / "label.nii"), (np.eye(4), (3, 4, 5)), ("label", "image"))


READERS = [read_image, read_label_map, read_map, read_mask]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.NII.GZ"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_files_that_were_cut_short_are_named(tmp_path, reader, name, keep):
    nibabel.save(volume(shape=(20, 20, 20)), tmp_path / "whole.nii")
    whole = (tmp_path / "whole.nii").read_bytes()
    stored = whole if name.endswith(".nii") else gzip.compress(whole)
    (tmp_path / name).write_bytes(stored[: int(keep * len(stored))])
    with pytest.raises(ValueError, match=rf"must be a readable NIfTI file, got .*{name}"):
        reader(tmp_path / name)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.NII.GZ"])
def test_compressed_and_plain_files_are_read_by_their_ending(tmp_path, reader, name):
    nibabel.save(volume(), tmp_path / "a.nii")
    whole = (tmp_path / "a.nii").read_bytes()
    (tmp_path / name).write_bytes(whole if name.endswith(".nii") else gzip.compress(whole))
    assert reader(tmp_path / name).shape == (1, 3, 4, 5)
    check_readable([{"image": str(tmp_path / name)}])


@pytest.mark.parametrize("reader", READERS)
def test_a_compressed_file_with_the_name_of_a_plain_one_is_named(tmp_path, reader):
    nibabel.save(volume(), tmp_path / "b.nii")
    (tmp_path / "a.nii").write_bytes(gzip.compress((tmp_path / "b.nii").read_bytes()))
    with pytest.raises(ValueError, match=r"must be a readable NIfTI file, got .*a\.nii"):
        reader(tmp_path / "a.nii")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.diag([1, 1, 0, 1]), np.full((4, 4), np.nan)])
def test_an_affine_that_places_nothing_is_named(tmp_path, reader, affine):
    file = volume()
    file.header.set_sform(affine, code=1)
    file.header.set_qform(np.eye(4), code=0)
    with (tmp_path / "a.nii").open("wb") as stream:
        file.header["vox_offset"] = 352
        stream.write(file.header.binaryblock + b"\0" * 4 + np.asarray(file.dataobj).tobytes(order="F"))
    with pytest.raises(ValueError, match=r"(affine must say where voxels lie|readable NIfTI).*a\.nii"):
        reader(tmp_path / "a.nii")


@pytest.mark.parametrize("dtype", [np.complex64, [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_values_that_are_no_numbers_are_named(tmp_path, dtype):
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5), dtype), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(ValueError, match=r"volume must hold real numbers, got .*a\.nii"):
        read_image(tmp_path / "a.nii")


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f4", ">f4", "<f8", ">f8", "u1", "i1", "<u2", "<i4"])
def test_every_type_of_number_is_read_with_its_slope(tmp_path, dtype):
    file = nibabel.Nifti1Image(np.arange(60).reshape(3, 4, 5).astype(dtype), np.eye(4))
    file.header.set_slope_inter(2 if "f" not in dtype else 1, 0)
    nibabel.save(file, tmp_path / "a.nii")
    assert np.array_equal(read_image(tmp_path / "a.nii")[0].numpy(), nibabel.load(tmp_path / "a.nii").get_fdata())


@pytest.mark.filterwarnings("ignore:.*pixdim")
def test_a_header_that_contradicts_itself_is_read_in_one_way(tmp_path):
    """MONAI goes by the qform where the sform has other voxel sizes than the header; so must what compares grids."""
    volume = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.float32), None)
    volume.set_sform(np.diag([5.0, 5.0, 5.0, 1.0]), 1)
    volume.set_qform(np.diag([1.0, 2.0, 3.0, 1.0]), 1)
    nibabel.save(volume, tmp_path / "a.nii")
    assert np.allclose(read_volume(tmp_path / "a.nii").affine, volume_grid(tmp_path / "a.nii")[0])


def test_a_flat_label_of_a_volume_is_named(tmp_path):
    nibabel.save(volume(), tmp_path / "image.nii")
    nibabel.save(volume(shape=(3, 4)), tmp_path / "label.nii")
    with pytest.raises(ValueError, match=r"must have three axes, got \(3, 4\) of .*label\.nii and \(3, 4, 5\) of"):
        check_readable([{"image": tmp_path / "image.nii", "label": tmp_path / "label.nii"}])


def test_no_more_is_unpacked_than_the_header_says(tmp_path, monkeypatch):
    """A small file may go on for ever behind its voxels."""
    content = volume().to_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content + bytes(10**8)))
    read, whole = [], gzip.GzipFile.read

    def counted(self, size=-1):
        read.append(piece := whole(self, size))
        return piece

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    assert read_image(tmp_path / "a.nii.gz").shape == (1, 3, 4, 5)
    assert sum(map(len, read)) < 3 * 2**20


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("lacking", [1, 9, 200])
def test_a_file_that_lacks_a_byte_is_named(tmp_path, reader, name, lacking):
    nibabel.save(volume(shape=(20, 20, 20)), tmp_path / "whole.nii")
    short = (tmp_path / "whole.nii").read_bytes()[:-lacking]
    (tmp_path / name).write_bytes(short if name == "a.nii" else gzip.compress(short))
    with pytest.raises(ValueError, match=rf"got .*{name} \(it ends after {8352 - lacking} of 8352 bytes\)"):
        reader(tmp_path / name)


def test_axes_of_other_lengths_in_the_same_order_are_another_size(tmp_path):
    nibabel.save(volume(shape=(4, 3, 5)), tmp_path / "label.nii")
    with pytest.raises(ValueError, match=r"one size, got \(4, 3, 5\) of label and \(3, 4, 5\) of image"):
        to_grid(read_mask(tmp_path / "label.nii"), (np.eye(4), (3, 4, 5)), ("label", "image"))


def test_the_distance_is_in_the_shortest_edges(tmp_path):
    """A third of a millimetre is little of a slice of 5 mm, and two thirds of a voxel of 0.5 mm."""
    grid = np.diag([0.5, 0.7, 5, 1])
    moved = grid.copy()
    moved[2, 3] = 0.3
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), moved), tmp_path / "label.nii")
    with pytest.raises(ValueError, match=r"got label up to 0\.6 voxels from image"):
        to_grid(read_mask(tmp_path / "label.nii"), (grid, (3, 4, 5)), ("label", "image"))


READERS = {
    "volume": (read_image, "v.nii.gz"),
    "mask": (read_mask, "m.nii.gz"),
    "map": (read_map, "p.nii"),
    "flat image": (read_image, "i.png"),
    "flat mask": (read_mask, "m.png"),
    "flat map": (read_map, "p.png"),
}


@pytest.mark.parametrize("what", READERS)
def test_a_file_is_read_by_its_own_reader_alone(what, tmp_path, monkeypatch):
    """Other readers that are installed are not even made: one of MONAI's warns each time it is."""

    def refuse(self, *args, **settings):
        raise AssertionError(f"{type(self).__name__} was made")

    for name in ("PydicomReader", "ITKReader", "NrrdReader", "NumpyReader"):
        monkeypatch.setattr(getattr(monai.data, name), "__init__", refuse)
    read, name = READERS[what]
    if name.endswith(".png"):
        Image.new("L", (4, 3)).save(tmp_path / name)
    else:
        nibabel.save(volume(), tmp_path / name)
    assert read(tmp_path / name).shape[-3 if "nii" in name else -2 :] == ((3, 4, 5) if "nii" in name else (4, 3))


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "swapped.nii", "channels.nii", "c.png"])
@pytest.mark.parametrize("kind", ["plain", "oblique and anisotropic"])
def test_a_file_is_what_the_hosts_loader_makes_of_it(name, kind, tmp_path):
    path = tmp_path / name
    if name.endswith("png"):
        Image.effect_noise((5, 4), 40).convert("RGB").save(path)
    elif name.startswith("swapped"):
        values = np.arange(60, dtype=">i2").reshape(3, 4, 5)
        header = nibabel.Nifti1Header(endianness=">")
        header.set_data_dtype(">i2")
        nibabel.save(nibabel.Nifti1Image(values, affine_of(kind), header), path)
    else:
        nibabel.save(volume(kind, (3, 4, 5, 2) if name.startswith("channels") else (3, 4, 5)), path)
    reader = "PILReader" if name.endswith("png") else "NibabelReader"
    theirs, mine = LoadImage(reader, ensure_channel_first=True)(path), read_image(path)
    assert mine.dtype == theirs.dtype
    assert torch.equal(mine.as_tensor(), theirs.as_tensor())
    assert np.array_equal(mine.affine, theirs.affine)
    assert mine.meta["filename_or_obj"] == theirs.meta["filename_or_obj"] == str(path)
    assert {str(k) for k in theirs.meta} <= {str(k) for k in mine.meta}
