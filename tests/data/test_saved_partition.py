# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The partition that all steps share: kept, and refused when it is another."""

from __future__ import annotations

import os
import stat

import pytest

from monai_coat.data import open_partition

SAMPLES = [{"id": f"{i:02}"} for i in range(40)]


def test_the_first_call_makes_it_and_later_ones_read_it(tmp_path):
    path = tmp_path / "deep" / "partition.json"
    made = open_partition(path, SAMPLES, seed=3)
    assert open_partition(path, list(reversed(SAMPLES)), seed=3) == made
    assert [file.name for file in path.parent.iterdir()] == ["partition.json"]


@pytest.mark.parametrize("wanted", [{"seed": 4}, {"by": "group"}])
def test_another_draw_is_refused(tmp_path, wanted):
    path = tmp_path / "partition.json"
    open_partition(path, SAMPLES, seed=3)
    with pytest.raises(ValueError, match=r"seed and by must be those of .*partition\.json, 3 and 'image', got"):
        open_partition(path, SAMPLES, **{"seed": 3, **wanted})


@pytest.mark.skipif(os.name != "posix", reason="permissions are of POSIX")
def test_colleagues_can_read_it(tmp_path):
    before = os.umask(0o022)
    try:
        open_partition(tmp_path / "partition.json", SAMPLES)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "partition.json").stat().st_mode) == 0o644
