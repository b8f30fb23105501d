# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Folders of which files, axes, classes or values do not say one thing are refused by name."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from PIL import Image

from monai_coat.data import ClassLabels, MapOptions, open_predictions


def png(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture
def squares(tmp_path, rng):
    """Two arrays with masks, as high as they are wide."""
    for name in "ab":
        (tmp_path / "maps").mkdir(exist_ok=True)
        np.save(tmp_path / f"maps/{name}.npy", rng.random((8, 8)))
        png(tmp_path / f"labels/{name}.png", (rng.random((8, 8)) > 0.5).astype(np.uint8))
    return tmp_path


def opened(root, **options):
    return open_predictions(root / "maps", root / "labels", options=MapOptions(**options))


def test_axes_of_squares_must_be_said(squares, rng):
    with pytest.raises(ValueError, match=r"axes must be given, since masks are as high as they are wide.* yx and xy"):
        opened(squares)
    rows, columns = (opened(squares, axes=axes) for axes in ("yx", "xy"))
    array = np.load(squares / "maps/a.npy")
    found = rows.read(rows.samples[0])[0].numpy()
    assert np.array_equal(found.T, columns.read(columns.samples[0])[0].numpy())
    label = np.asarray(Image.open(squares / "labels/a.png"))
    masks = {str(sample["id"]): mask[0].numpy() for sample, _, mask in rows.pairs()}
    assert np.array_equal(masks["a"].T, label)
    assert np.abs(found.T - array).max() < 1e-7
    np.save(squares / "maps/c.npy", rng.random((8, 5)))  # which tells
    png(squares / "labels/c.png", np.zeros((8, 5), np.uint8))
    assert opened(squares).format.axes == "yx"


def test_arrays_of_another_size_than_their_masks_are_refused(squares, rng):
    np.save(squares / "maps/b.npy", rng.random((8, 9)))
    with pytest.raises(ValueError, match=r"maps must have the size of their masks, got \(8, 9\) of .*b\.npy"):
        opened(squares)


def test_files_of_several_kinds_are_refused(squares):
    png(squares / "maps/c.png", np.zeros((8, 8), np.uint8))
    png(squares / "labels/c.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"must all be NumPy's files, or none, got .*c\.png among them"):
        opened(squares)


def test_axes_are_not_said_of_files_that_say_them(squares):
    for path in (squares / "maps").iterdir():
        path.unlink()
        png(path.with_suffix(".png"), np.zeros((8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"axes must be given for NumPy's files only"):
        opened(squares, axes="yx")


def test_values_of_all_files_must_be_of_one_kind(squares):
    for path, values in zip(sorted((squares / "maps").iterdir()), (np.uint8, np.uint16), strict=True):
        path.unlink()
        png(path.with_suffix(".png"), np.ones((8, 8), values))
    folder = opened(squares)
    with pytest.raises(ValueError, match=r"must have values of 8 bit, .* got 16 bit in .*b\.png"):
        list(folder.pairs())


def test_a_label_without_a_class_is_refused(squares):
    png(squares / "labels/b.png", np.full((8, 8), 3, np.uint8))
    folder = opened(squares, axes="yx", classes=ClassLabels.parse("polyp=1"))
    with pytest.raises(ValueError, match=r"must hold the classes polyp=1 and 0, got 3 in .*b\.png"):
        list(folder.pairs())


def test_an_ending_that_names_have_in_common_is_proposed(squares):
    for path in (squares / "maps").iterdir():
        path.rename(path.with_stem(f"{path.stem}_prob"))
    with pytest.raises(FileNotFoundError, match=r"got none for 'a_prob' .* --map-suffix=_prob"):
        opened(squares)
    assert len(opened(squares, suffix="_prob", axes="yx")) == 2
    with pytest.raises(ValueError, match=r"names of maps must end in '_probs', got 'a_prob'"):
        opened(squares, suffix="_probs")


def test_a_folder_of_an_image_must_hold_one_map(squares, rng):
    (squares / "nested/a").mkdir(parents=True)
    for name in ("first", "second"):
        np.save(squares / f"nested/a/{name}.npy", rng.random((8, 8)))
    with pytest.raises(ValueError, match=r"must have one file in the folder of each image, got 2 in .*a"):
        open_predictions(squares / "nested", squares / "labels")


def test_classes_in_folders_of_their_own_need_their_labels(squares):
    folders = {"polyp": squares / "maps"}
    with pytest.raises(ValueError, match=r"classes must name the labels of polyp.* --classes polyp=1"):
        open_predictions(folders, squares / "labels", options=MapOptions(axes="yx"))


def test_arrays_beside_volumes_lie_nowhere(tmp_path, rng):
    for name in ("maps", "labels"):
        (tmp_path / name).mkdir()
    nibabel.save(nibabel.Nifti1Image(rng.random((4, 5, 6)).astype(np.float32), np.eye(4)), tmp_path / "maps/a.nii")
    np.save(tmp_path / "labels/a.npy", np.zeros((4, 5, 6), np.uint8))
    folder = open_predictions(tmp_path / "maps", tmp_path / "labels")
    with pytest.raises(ValueError, match=r"label must"):
        list(folder.pairs())


def test_maps_without_masks_of_arrays_need_their_axes(squares):
    with pytest.raises(ValueError, match=r"axes must be given for .*a\.npy without a mask"):
        open_predictions(squares / "maps")


@pytest.mark.parametrize("background", [True, False])
def test_channels_that_no_mask_speaks_of_must_be_said(tmp_path, rng, background):
    """Two classes by the channels, one by the masks: nobody knows which."""
    for name in ("maps", "labels"):
        (tmp_path / name).mkdir()
    for number in range(3):
        probs = rng.random((4, 5, 6)) / 2
        maps = np.stack([1 - 2 * probs, probs, probs][not background :], -1).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(maps, np.eye(4)), tmp_path / f"maps/{number}.nii")
        label = nibabel.Nifti1Image((probs > 0.2).astype(np.uint8), np.eye(4))
        nibabel.save(label, tmp_path / f"labels/{number}.nii")
    with pytest.raises(
        ValueError, match=r"channels of 2 classes, .* no mask holds label 2.* --classes name1=1,name2=2"
    ):
        list(opened(tmp_path).pairs())
    said = opened(tmp_path, classes=ClassLabels.parse("a=1,b=2"))
    assert [masks.flatten(1).any(1).tolist() for _, _, masks in said.pairs()] == [[True, False]] * 3
