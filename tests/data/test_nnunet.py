# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Folders as nnU-Net v2 writes them: what is said, what it means, and what cannot be told."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from monai_coat.data import ClassLabels, open_predictions
from monai_coat.data.nnunet import find_nnunet
from tests.predictions.layouts import AFFINE, nnunet, nnunet_regions


def describe(root, labels, **more):
    (root / "maps").mkdir(exist_ok=True)
    np.savez(root / "maps/a.npz", probabilities=np.zeros((2, 1, 1, 1)))
    (root / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".nii.gz", **more}))
    return find_nnunet([root / "maps"])


def test_classes_of_a_softmax_are_in_the_order_of_labels(tmp_path):
    found = describe(tmp_path, {"background": 0, "tumour": 2, "liver": 1})
    assert (found.classes, found.has_background) == (ClassLabels(("liver", "tumour"), ((1,), (2,))), True)


def test_regions_are_in_the_order_of_the_file(tmp_path):
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
    found = describe(tmp_path, labels, regions_class_order=[1, 2, 3])
    assert found.classes == ClassLabels(("whole", "core", "enhancing"), ((1, 2, 3), (2, 3), (3,)))
    assert (found.has_background, found.order) == (False, (1, 2, 3))


@pytest.mark.parametrize(
    ("labels", "more", "said"),
    [
        ({"background": 0, "a": 2}, {}, "labels must be 0, 1, 2 and so on"),
        ({"background": 1, "a": 0}, {}, "with 'background' as 0"),
        ({"a": 1}, {}, "with 'background' as 0"),
        ({"background": 0, "a": [1, 2]}, {}, "regions_class_order must list a label for each of the 1 regions"),
        ({"background": 0, "a": "1"}, {}, "labels must be whole numbers"),
        ({"background": 0, "a": 1}, {"file_ending": None}, "'file_ending'"),
    ],
)
def test_a_description_that_says_something_else_is_refused(tmp_path, labels, more, said):
    with pytest.raises(ValueError, match=r"dataset\.json") as error:
        describe(tmp_path, labels, **more)
    assert said in str(error.value)


def test_a_folder_without_a_description_is_none_of_nnunet(tmp_path):
    np.savez(tmp_path / "a.npz", probabilities=np.zeros((2, 1, 1, 1)))
    assert find_nnunet([tmp_path / "none"]) is None


def test_other_arrays_below_another_description_are_none_of_nnunet(tmp_path):
    (tmp_path / "maps").mkdir()
    np.savez(tmp_path / "maps/a.npz", softmax=np.zeros((2, 1, 1, 1)))
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "1": "liver"}}))
    assert find_nnunet([tmp_path / "maps"]) is None


@pytest.mark.parametrize("second", [{"background": 0, "a": 2, "b": 1}, None])
def test_folders_of_different_descriptions_are_refused(tmp_path, second):
    for name, labels in (("one", {"background": 0, "a": 1, "b": 2}), ("two", second)):
        (tmp_path / name).mkdir()
        if labels is not None:
            describe(tmp_path / name, labels)
    with pytest.raises(ValueError, match=r"must be of one dataset of nnU-Net, .* for .*two/maps than for .*one/maps"):
        find_nnunet([tmp_path / "one/maps", tmp_path / "two/maps"])


def test_a_label_to_ignore_is_refused_of_labels_and_not_of_predictions(tmp_path, rng):
    nnunet(tmp_path, "a", *soft(rng))
    path = tmp_path / "dataset.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"labels": content["labels"] | {"ignore": 3}}))
    assert open_predictions(tmp_path / "maps").nnunet.has_ignored
    with pytest.raises(ValueError, match=r"got the label 'ignore' in dataset\.json"):
        open_predictions(tmp_path / "maps", tmp_path / "labels")


def soft(rng, marked=True):
    logits = rng.normal(0, 1, (2, 6, 5, 4)) - (0 if marked else 9)
    maps = np.exp(logits) / (1 + np.exp(logits).sum(0))
    return maps, np.zeros((6, 5, 4), np.int64)


def test_probabilities_that_do_not_make_their_segmentation_are_refused(tmp_path, rng):
    maps, labels = soft(rng)
    nnunet(tmp_path, "a", maps, labels)
    nibabel.save(nibabel.Nifti1Image(np.ones((6, 5, 4), np.uint8), AFFINE), tmp_path / "maps/a.nii.gz")
    with pytest.raises(ValueError, match=r"must make the segmentation beside them, got .*a\.npz"):
        open_predictions(tmp_path / "maps", tmp_path / "labels")


@pytest.mark.parametrize(("reader", "turned"), [("NibabelIOWithReorient", True), ("SimpleITKIO", False), (None, None)])
def test_where_nothing_is_marked_the_plans_say_whether_volumes_were_turned(tmp_path, rng, reader, turned):
    """Silence cannot tell: without plans it is refused, and with them voxels are where they were predicted."""
    maps, labels = soft(rng, marked=False)
    maps[1] = maps[0] / 2  # the core is within the whole
    write = nnunet_regions if turned else nnunet
    write(tmp_path, "a", maps, labels)
    if reader is None:
        with pytest.raises(ValueError, match=r"plans\.json must lie beside dataset\.json"):
            open_predictions(tmp_path / "maps", tmp_path / "labels")
        return
    (tmp_path / "plans.json").write_text(json.dumps({"image_reader_writer": reader}))
    folder = open_predictions(tmp_path / "maps", tmp_path / "labels")
    assert np.array_equal(folder.read(folder.samples[0]).numpy(), maps.astype(np.float32))


def test_the_segmentation_must_be_there(tmp_path, rng):
    nnunet(tmp_path, "a", *soft(rng))
    (tmp_path / "maps/a.nii.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"must have their segmentations beside them"):
        open_predictions(tmp_path / "maps", tmp_path / "labels")


def test_folds_are_calibrated_together_and_what_that_promises_is_said(tmp_path, rng):
    from monai_coat.predictions import calibrate_folder

    for fold in range(2):
        for number in range(5):
            maps, labels = soft(rng)
            labels[1:3, 1:3], labels[3:5, 3:5] = 1, 2
            nnunet(tmp_path / f"fold_{fold}", f"case_{fold}_{number}", maps, labels)
    folders = [tmp_path / f"fold_{fold}/maps" for fold in range(2)]
    (tmp_path / "labels").mkdir()
    for path in tmp_path.glob("fold_*/labels/*"):
        path.rename(tmp_path / "labels" / path.name)
    both = open_predictions(folders, tmp_path / "labels")
    result = calibrate_folder(both, alpha=0.2).result
    assert result.n == (10, 10)
    assert "nothing is promised about an ensemble" in result.guarantee
    with pytest.raises(ValueError, match=r"probs must hold every image once, got 'case_0_0'"):
        open_predictions([folders[0], folders[0]], tmp_path / "labels")


def on_lps(root, inside, way):
    """A volume that is foreground all over, by a network that is surer at one side; ``way`` is that of the reader."""
    maps = np.stack([1 - inside, inside]).astype(np.float32)
    written = maps[:, ::-1, ::-1] if way == "NibabelIOWithReorient" else maps
    for name in ("maps", "labels"):
        (root / name).mkdir(exist_ok=True)
        file = nibabel.Nifti1Image((inside > 0.5).astype(np.uint8), np.diag([-1.0, -1.0, 1.0, 1.0]))
        nibabel.save(file, root / name / "a.nii.gz")
    np.savez(root / "maps/a.npz", probabilities=written.transpose(0, 3, 2, 1))
    (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "a": 1}, "file_ending": ".nii.gz"}))


@pytest.mark.parametrize("way", ["NibabelIOWithReorient", "SimpleITKIO"])
@pytest.mark.parametrize("shape", ["everything", "symmetric"])
def test_a_map_that_makes_its_segmentation_in_both_ways_needs_the_plans(tmp_path, way, shape):
    inside = np.linspace(0.6, 0.9, 6)[:, None, None] * np.ones((6, 5, 4))
    if shape == "symmetric":
        inside[[0, 5]] *= 0.1
    on_lps(tmp_path, inside, way)
    with pytest.raises(ValueError, match=r"plans\.json must lie beside .*a\.nii\.gz agrees with its map in two ways"):
        open_predictions(tmp_path / "maps", tmp_path / "labels")
    (tmp_path / "plans.json").write_text(json.dumps({"image_reader_writer": way}))
    folder = open_predictions(tmp_path / "maps", tmp_path / "labels")
    assert np.array_equal(folder.read(folder.samples[0]).numpy()[0], inside.astype(np.float32))


def test_a_map_that_is_the_same_in_both_ways_needs_none(tmp_path):
    inside = np.full((6, 5, 4), 0.7)
    on_lps(tmp_path, inside, "SimpleITKIO")
    folder = open_predictions(tmp_path / "maps", tmp_path / "labels")
    assert np.array_equal(folder.read(folder.samples[0]).numpy()[0], inside.astype(np.float32))
