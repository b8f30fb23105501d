# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Somebody's volumes of two classes."""

from __future__ import annotations

import pytest

from monai_coat.comparison import protocol_of_folder
from monai_coat.data import ClassLabels, MapOptions
from tests.predictions.layouts import LAYOUTS, written

COUNT = 24


@pytest.fixture
def own_volumes(tiny, tmp_path):
    """The folder, its maps and masks, and the protocol of both classes."""
    maps, masks = written(LAYOUTS["NIfTI softmax"], tmp_path / "own", 0, COUNT)
    methods = {"CRC": {"fit": "crc"}, "MEG": {"fit": "meg", "members": 2, "width": 8}}
    protocol = tiny(methods=methods, repeats=2, fractions=[0, 0.5, 0.25, 0.25])
    options = MapOptions(classes=ClassLabels.parse("a=1,b=2"))
    folders = tmp_path / "own/maps", tmp_path / "own/labels"
    return tmp_path / "own", maps, masks, protocol_of_folder(protocol, *folders, options=options)
