# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Names of images: one rule, with dots inside names kept."""

from __future__ import annotations

import pytest

from monai_coat.files.names import stem_of, suffix_of


@pytest.mark.parametrize(
    ("path", "stem", "suffix"),
    [
        ("a.png", "a", ".png"),
        ("folder.x/case.0.PNG", "case.0", ".png"),
        ("1.2.840.113619.2.nii.gz", "1.2.840.113619.2", ".nii.gz"),
        ("a.nii", "a", ".nii"),
        ("a.gz", "a", ""),
        ("notes.txt", "notes", ""),
        ("none", "none", ""),
    ],
)
def test_stems_and_endings_by_hand(path, stem, suffix):
    assert (stem_of(path), suffix_of(path)) == (stem, suffix)
