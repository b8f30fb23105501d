# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The report: which figures there are, and of which method."""

from __future__ import annotations

import numpy as np
import pytest

from monai_coat.comparison import rows_of
from monai_coat.comparison.results.report import draw_figures, method_of_losses


def test_losses_are_of_a_highlighted_method_if_it_has_any(tiny, cells):
    crc, coat, meg = cells
    learned = [crc, coat | {"losses": [0.2, 0.1]}, meg | {"losses": [0.3, 0.2]}]
    methods = {name: {"fit": "crc"} for name in ("CRC", "COAT", "MEG")}
    assert method_of_losses(learned, tiny(methods=methods)) == "COAT"
    assert method_of_losses(learned, tiny(methods=methods, highlighted=["CRC", "MEG"])) == "MEG"
    assert method_of_losses(cells, tiny(methods=methods)) == ""


@pytest.mark.parametrize("single_images", [False, True])
def test_figures_are_drawn_of_what_there_is(tiny, cells, tmp_path, single_images):
    if single_images:
        cells = [cell | {"coverage_of_first_split": list(np.linspace(0, 1, 5))} for cell in cells]
    drawn = draw_figures(rows_of(cells, "CRC"), cells, tiny(), tmp_path)
    names = {"gap_against_size.png"} | ({"image_coverage.png"} if single_images else set())
    assert {path.name for path in drawn} == {path.name for path in tmp_path.glob("*.png")} == names
