# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Cells by hand."""

from __future__ import annotations

import pytest


def make_cell(method, gaps, precision=0.5, hashes="abc", network="PSPNet", coverage=0.25):
    names = ("relative_size_median", "shortfall", "share_below", "set_fraction")
    other = dict.fromkeys(names, 0.25) | {"precision": precision, "coverage": coverage}
    splits = [{"hash": h, "coverage_gap": gap} | other for h, gap in zip(hashes, gaps, strict=True)]
    place = {"dataset": "polyp", "network": network, "alpha": 0.1}
    return place | {"method": method, "settings": {"fit": method}, "losses": [], "splits": splits}


@pytest.fixture
def cell():
    """Make a cell of a method, whose fit has the same name."""
    return make_cell


@pytest.fixture
def cells():
    """Three methods in one group."""
    return [
        make_cell("CRC", [0.1, 0.2, 0.3]),
        make_cell("COAT", [0.1, 0.1, 0.1], 0.4),
        make_cell("MEG", [0.0, 0.1, 0.2]),
    ]
