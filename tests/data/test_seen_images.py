# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Images that were seen are known again by their bytes, whatever they are called."""

from __future__ import annotations

import json
import shutil

import pytest

from monai_coat.data import refuse_seen, save_seen
from monai_coat.data.seen_images import image_files, same_files


@pytest.fixture
def made(tmp_path):
    """A file that was made of the images 0 and 1."""
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(bytes([number]) * 100_000)
    (tmp_path / "calibration.json").write_text("{}")
    save_seen(tmp_path / "calibration.json", samples(tmp_path, 0, 1))
    return tmp_path / "calibration.json"


def samples(folder, *numbers):
    return [{"id": f"image {number}", "image": str(folder / f"{number}.png")} for number in numbers]


def test_others_are_taken_and_these_are_refused_by_any_name(made, tmp_path):
    refuse_seen(made, samples(tmp_path, 2, 3))
    shutil.copy(tmp_path / "1.png", tmp_path / "5.png")
    message = r"samples must be others than calibration\.json was made of, got 'image 5', which is 'image 1' of them"
    with pytest.raises(ValueError, match=message):
        refuse_seen(made, samples(tmp_path, 2, 5))


def test_what_is_not_of_the_file_is_refused(made, tmp_path):
    made.write_text("{ }")
    with pytest.raises(ValueError, match=r"calibration\.images\.json must be of calibration\.json as it is, got one"):
        refuse_seen(made, samples(tmp_path, 2))
    (tmp_path / "calibration.images.json").write_text(json.dumps({"format": "another"}))
    with pytest.raises(ValueError, match="must be a list of images in version 1, got something else; run the step"):
        refuse_seen(made, samples(tmp_path, 2))
    (tmp_path / "calibration.images.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"the list of images that calibration\.json was made of must be a f"):
        refuse_seen(made, samples(tmp_path, 2))


def test_files_of_several_images_and_of_folders_count(tmp_path):
    (tmp_path / "series").mkdir()
    for name in ("series/1.dcm", "series/2.dcm", "a.nii"):
        (tmp_path / name).write_text(name)
    several = {"image": [tmp_path / "series", str(tmp_path / "a.nii"), str(tmp_path / "none.nii")]}
    assert [file.removeprefix(f"{tmp_path}/") for file in image_files(several)] == [
        "series/1.dcm",
        "series/2.dcm",
        "a.nii",
    ]
    assert image_files({"label": "a"}) == []


def test_files_that_differ_in_one_byte_are_others(tmp_path):
    content = bytearray(500_000)
    for name, place in (("a", None), ("b", None), ("c", 321_987), ("d", 0)):
        changed = bytearray(content)
        if place is not None:
            changed[place] = 1
        (tmp_path / name).write_bytes(changed)
    a, b, c, d = (str(tmp_path / name) for name in "abcd")
    assert same_files([b, c, d], [a]) == {b: a}
    assert same_files([], [a]) == same_files([a], []) == {}
