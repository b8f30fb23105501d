# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Images that were not trained on, in parts that stay the same and share nothing."""

from __future__ import annotations

import pytest

from monai_coat.data import held_out_parts


def samples(count: int, folder: str = "set") -> list[dict]:
    return [
        {"image": f"{folder}/images/{i:02}.nii.gz", "label": f"{folder}/labels/{i:02}.nii.gz"} for i in range(count)
    ]


def ids(parts) -> list[set[str]]:
    return [{s["id"] for s in part} for part in (parts.threshold_train, parts.calibration, parts.test)]


def test_parts_are_disjoint_and_everything_is_in_one(tmp_path):
    parts = held_out_parts(tmp_path / "parts.json", samples(20), (0.3, 0.4, 0.3))
    assert [len(part) for part in ids(parts)] == [6, 8, 6]
    assert set.union(*ids(parts)) == {f"{i:02}" for i in range(20)}
    assert not parts.base_train


def test_a_second_step_gets_the_same_parts_whatever_the_order(tmp_path):
    first = held_out_parts(tmp_path / "parts.json", samples(20))
    assert held_out_parts(tmp_path / "parts.json", samples(20)[::-1]) == first
    assert ids(held_out_parts(tmp_path / "other.json", samples(20), seed=1)) != ids(first)


@pytest.mark.parametrize("change", [{"seed": 1}, {"fractions": (0, 0.4, 0.6)}])
def test_another_draw_than_the_saved_one_is_refused(tmp_path, change):
    held_out_parts(tmp_path / "parts.json", samples(20))
    with pytest.raises(ValueError, match="which give others; keep to it, or remove the file"):
        held_out_parts(tmp_path / "parts.json", samples(20), **change)


def test_other_images_than_the_saved_ones_are_refused(tmp_path):
    held_out_parts(tmp_path / "parts.json", samples(20))
    with pytest.raises(ValueError, match="it has unknown '20'"):
        held_out_parts(tmp_path / "parts.json", samples(21))


def test_images_that_were_trained_on_are_refused_by_any_name_of_theirs(tmp_path):
    trained = [{"image": ["none.nii.gz", "set/./images/../images/03.nii.gz"], "label": "elsewhere.nii.gz"}]
    with pytest.raises(ValueError, match="must not have been trained on, got '03'"):
        held_out_parts(tmp_path / "parts.json", samples(20), trained_on=trained)
    assert not list(tmp_path.iterdir())


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    parts = held_out_parts(tmp_path / "parts.json", [*samples(3, "north"), *samples(3, "south")])
    assert {"north/labels/00", "south/labels/02"} <= set.union(*ids(parts))


def test_groups_are_not_divided_between_fit_and_the_rest(tmp_path):
    grouped = [{**sample, "group": index // 4} for index, sample in enumerate(samples(24))]
    parts = held_out_parts(tmp_path / "parts.json", grouped, (0.3, 0.4, 0.3))
    fit = {s["group"] for s in parts.threshold_train}
    assert fit
    assert not fit & {s["group"] for s in (*parts.calibration, *parts.test)}


def test_all_may_calibrate(tmp_path):
    parts = held_out_parts(tmp_path / "parts.json", samples(9), (0, 1, 0))
    assert (len(parts.calibration), len(parts.test)) == (9, 0)


@pytest.mark.parametrize(
    ("given", "fractions", "sentence"),
    [
        (samples(4), (0.5, 0.5), "fractions must be three shares with sum 1"),
        (samples(4), (0.5, 0, 0.5), "fractions must be three shares"),
        (samples(1), (0, 0.5, 0.5), "samples must be enough for each part, got 1"),
        ([*samples(2), *samples(1)], (0, 0.5, 0.5), "twice; drop the repeat"),
        ([{"image": "a.nii"}], (0, 0.5, 0.5), "samples must have the path of a label"),
    ],
)
def test_what_cannot_be_divided_is_refused(tmp_path, given, fractions, sentence):
    with pytest.raises(ValueError, match=sentence):
        held_out_parts(tmp_path / "parts.json", given, fractions)


def test_images_that_were_trained_on_are_known_by_their_bytes(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.nii").write_text(f"image {number}")
    (tmp_path / "copy.nii").write_text("image 2")
    given = [{"image": tmp_path / f"{i}.nii", "label": f"labels/{i}.nii"} for i in range(4)]
    with pytest.raises(ValueError, match=r"got '2', which has the bytes of .*copy\.nii, which was"):
        held_out_parts(tmp_path / "parts.json", given, trained_on=[{"image": tmp_path / "copy.nii", "label": "other"}])
    # Labels may be alike, as empty ones are.
    held_out_parts(tmp_path / "parts.json", given, trained_on=[{"image": "other", "label": tmp_path / "copy.nii"}])
