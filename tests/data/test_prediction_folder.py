# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Folders of which files, axes, classes or values do not say one thing are refused by name."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from PIL import Image

from monai_coat.data import ClassLabels, MapFormat, MapOptions, open_predictions


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


@pytest.fixture
def organs(tmp_path, rng):
    """A folder of maps for each of two classes, and label maps of both."""
    for name in "ab":
        for organ in ("liver", "tumour"):
            png(tmp_path / f"{organ}/{name}.png", rng.integers(0, 256, (9, 7), np.uint8))
        png(tmp_path / f"labels/{name}.png", rng.integers(0, 3, (9, 7)).astype(np.uint8))
    classes = ClassLabels.parse("liver=1,tumour=2")
    places = {name: tmp_path / name for name in classes.names}
    return tmp_path, places, open_predictions(places, tmp_path / "labels", options=MapOptions(classes)).format


def test_folders_of_classes_are_taken_by_name_and_not_by_order(organs):
    _, places, format = organs
    backwards = dict(reversed(places.items()))
    found = open_predictions(backwards, format=format)
    expected = open_predictions(places, format=format)
    for one, other in zip(found.samples, expected.samples, strict=True):
        assert one["probs"] == other["probs"]


def test_folders_of_other_classes_are_refused(organs):
    _, places, format = organs
    other = {"spleen": places["liver"], "tumour": places["tumour"]}
    with pytest.raises(ValueError, match=r"a folder for each of the classes liver, tumour .*, got spleen, tumour"):
        open_predictions(other, format=format)


def test_a_softmax_is_not_taken_for_classes(tmp_path, rng):
    maps = rng.random((2, 8, 6)).astype(np.float32)
    (tmp_path / "maps").mkdir()
    np.save(tmp_path / "maps/a.npy", maps)
    format = MapFormat(ClassLabels.numbered(2), "classes", "cyx", "float")
    folder = open_predictions(tmp_path / "maps", format=format)
    assert folder.read(folder.samples[0]).shape == (2, 6, 8)
    np.save(tmp_path / "maps/a.npy", maps / maps.sum(0))
    with pytest.raises(ValueError, match=r"got 2 channels that sum to 1, as of a softmax with background, in .*a\.npy"):
        folder.read(folder.samples[0])


def softmax(root, rng, digits):
    maps = rng.random((3, 8, 6)) + 0.1
    (root / "maps").mkdir()
    np.save(root / "maps/a.npy", (maps / maps.sum(0)).round(digits).astype(np.float32))
    png(root / "labels/a.png", rng.integers(0, 3, (8, 6)).astype(np.uint8))
    return open_predictions(root / "maps", root / "labels")


def test_a_softmax_of_two_digits_is_one(tmp_path, rng):
    assert softmax(tmp_path, rng, 2).format.channels == "background first"


def test_a_softmax_of_one_digit_is_doubtful(tmp_path, rng):
    with pytest.raises(ValueError, match=r"got sums of nearly 1 in .*a\.npy; save probabilities with more digits"):
        softmax(tmp_path, rng, 1)


def test_masks_that_are_arrays_are_read_as_those_of_images(tmp_path, rng):
    for kind in ("maps", "labels"):
        (tmp_path / kind).mkdir()
    np.save(tmp_path / "maps/a.npy", rng.random((9, 7), np.float32))
    values = rng.integers(0, 2, (9, 7)) * 255
    np.save(tmp_path / "labels/a.npy", values.astype(np.uint8))
    _, _, mask = next(opened(tmp_path, axes="yx").pairs())
    assert np.array_equal(mask[0].numpy(), values.T > 0)
    np.save(tmp_path / "labels/a.npy", rng.integers(0, 256, (9, 7), np.uint8))
    with pytest.raises(ValueError, match=r"mask must hold 0 and 1, or 0 and 255, got .*a\.npy"):
        next(opened(tmp_path, axes="yx").pairs())
    _, _, mask = next(opened(tmp_path, axes="yx", mask_threshold=128).pairs())
    assert np.array_equal(mask[0].numpy(), np.load(tmp_path / "labels/a.npy").T >= 128)


def test_a_threshold_of_masks_is_refused_with_several_classes(tmp_path, rng):
    (tmp_path / "maps").mkdir()
    np.save(tmp_path / "maps/a.npy", rng.random((2, 9, 7), np.float32))
    png(tmp_path / "labels/a.png", rng.integers(0, 3, (9, 7)).astype(np.uint8))
    with pytest.raises(ValueError, match="mask_threshold must not be given with several classes"):
        opened(tmp_path, mask_threshold=1)


def nifti(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([2.0, 1.0, 1.0, 1.0])), path)


def test_margins_in_millimetres_are_not_those_in_pixels(tmp_path, rng):
    mask = (rng.random((8, 6, 4)) > 0.5).astype(np.uint8)
    nifti(tmp_path / "maps/a.nii", mask)
    nifti(tmp_path / "labels/a.nii", mask)
    format = opened(tmp_path, are_masks=True).format
    assert format.values == "distance"
    png(tmp_path / "flat/a.png", 255 * mask[..., 0])
    folder = open_predictions(tmp_path / "flat", options=MapOptions(are_masks=True), format=format)
    with pytest.raises(ValueError, match=r"values of distance, .* got distance in pixels in .*a\.png"):
        folder.read(folder.samples[0])


def test_masks_of_two_axes_in_volumes_are_refused(tmp_path, rng):
    for kind in ("maps", "labels"):
        nifti(tmp_path / kind / "a.nii", (rng.random((8, 6)) > 0.5).astype(np.uint8))
    folder = opened(tmp_path, are_masks=True)
    with pytest.raises(ValueError, match=r"masks must have three axes in volumes, got \(8, 6\) in .*a\.nii"):
        folder.read(folder.samples[0])


def test_values_of_scaled_volumes_are_not_those_of_floats(tmp_path, rng):
    values = rng.integers(0, 256, (8, 6, 4), np.uint8)
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.header.set_slope_inter(1 / 255, 0)
    (tmp_path / "maps").mkdir()
    nibabel.save(image, tmp_path / "maps/a.nii")
    folder = open_predictions(tmp_path / "maps", format=MapFormat(None, "classes", "", "float"))
    with pytest.raises(ValueError, match=r"values of float, .* got 8 bit, scaled in .*a\.nii"):
        folder.read(folder.samples[0])


@pytest.mark.parametrize("order", ["<", ">"])
def test_channels_on_a_fifth_axis_are_channels(tmp_path, rng, order):
    maps, label = rng.random((8, 6, 4, 1, 2)), rng.integers(0, 3, (8, 6, 4))
    nifti(tmp_path / "maps/a.nii", maps.astype(f"{order}f4"))
    nifti(tmp_path / "labels/a.nii", label.astype(np.uint8))
    _, found, masks = next(opened(tmp_path).pairs())
    assert np.array_equal(found.numpy(), maps[..., 0, :].transpose(3, 0, 1, 2).astype(np.float32))
    assert np.array_equal(masks.numpy(), np.stack([label == 1, label == 2]))
    nifti(tmp_path / "maps/a.nii", rng.random((8, 6, 4, 3, 2)))
    with pytest.raises(ValueError, match=r"save one file for each step of time"):
        opened(tmp_path)
