# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Names that a client chooses stay names: whatever is accepted is one file in one folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.apps.label.names import check_file_name, check_image, check_session, check_tag, check_word

LEADING = ["..", "../x", "x/..", "/etc", "a/b", "a\\b", "..\\x", "a\0b", ".hidden", "a..b", "C:x", "a\nb", "x" * 300]
CHECKS = [check_tag, check_image, check_session, lambda value: check_word(value, "model")]


@pytest.mark.parametrize("value", [*LEADING, None, 5, ["a"], {"a": 1}])
@pytest.mark.parametrize("check", CHECKS)
def test_what_leads_elsewhere_is_refused_in_a_sentence(check, value):
    with pytest.raises(ValueError, match=r"must be .*, got .*; (choose another|open one first)\.") as error:
        check(value)
    assert len(str(error.value)) < 300


@given(st.text(max_size=300))
def test_whatever_is_accepted_is_one_file_of_its_folder(tmp_path_factory, value: str):
    for check in CHECKS:
        try:
            check(value)
        except ValueError:
            continue
        path = Path("/studies") / f"{value}.nii.gz"
        assert path.parent == Path("/studies")
        assert path.name == f"{value}.nii.gz"
        assert len(path.name.encode()) < 255
        assert not path.exists()  # raises for what no file system takes


def test_names_of_people_and_machines_are_welcome():
    for name in ("synthetic_0000", "Patient 1 (left)", "1.2.840.113619", "Grünwald", "患者", "a+b,c=d"):
        check_image(name)
    for tag in ("final", "original", "version_2024-01-01", "1"):
        check_tag(tag)
    check_session("0b9c7c1e-8c1d-11ee-b9d1-0242ac120002")


@pytest.mark.parametrize(
    "name", ["a.py", "a", "a.nii.gz.py", ".nii.gz", "a.nrrd", "", None, "a.png/", "a.pkl", "../.png"]
)
def test_endings_are_those_of_images(name):
    with pytest.raises(ValueError, match="must be"):
        check_file_name(name)


@pytest.mark.parametrize("name", ["a.nii.gz", "/tmp/x y/a.nii", "C:\\data\\a.PNG", "1.2.840.nii.gz", "../../a.nii.gz"])
def test_of_the_path_on_the_client_s_side_only_the_name_counts(name):
    check_file_name(name)
