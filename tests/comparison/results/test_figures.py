# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Figures: what stands in them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from monai_coat.comparison import rows_of
from monai_coat.comparison.results import figures


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, kept open for a look."""
    kept = []
    monkeypatch.setattr(figures, "_save", lambda figure, path: kept.append(figure))
    yield kept
    plt.close("all")


def test_the_ends_of_the_scale_are_not_in_the_figure_of_sizes(cell, cells, drawn, tmp_path):
    bound = cell("all of it", [0.1, 0.1, 0.1]) | {"settings": {"fit": "predict-all"}}
    figures.draw_gap_against_size(rows_of([*cells, bound], "CRC"), tmp_path / "a.png", ["MEG"])
    axis = drawn[0].axes[0]
    assert axis.get_xlabel() == "median relative set size"
    assert [points.get_label() for points in axis.collections] == ["CRC", "COAT", "MEG"]
    places = [points.get_offsets()[0] for points in axis.collections]
    np.testing.assert_allclose(places, [(0.25, 0.2), (0.25, 0.1), (0.25, 0.1)])
    # The highlighted one is larger.
    assert [points.get_sizes()[0] for points in axis.collections] == [25, 25, 70]


def test_losses_are_one_line_per_network(cell, drawn, tmp_path):
    results = [cell("COAT", [0.1, 0.1, 0.1], network=name) | {"losses": [0.2, 0.1]} for name in ("UNet", "PSPNet")]
    figures.draw_losses([*results, cell("MEG", [0.1, 0.1, 0.1])], tmp_path / "a.png", "COAT")
    lines = drawn[0].axes[0].lines
    assert [line.get_label() for line in lines] == ["UNet", "PSPNet"]
    assert list(lines[0].get_xdata()) == [1, 2]
    assert list(lines[0].get_ydata()) == [0.2, 0.1]


def test_coverage_of_images_is_sorted(cell, drawn, tmp_path):
    result = cell("MEG", [0.1, 0.1, 0.1]) | {"coverage_of_first_split": [1.0, 0.5, 0.75]}
    figures.draw_image_coverage([result], tmp_path / "a.png", ["MEG"])
    line, target = drawn[0].axes[0].lines
    assert list(line.get_ydata()) == [0.5, 0.75, 1.0]
    assert list(target.get_ydata()) == [0.9, 0.9]


def test_temperatures_need_three_of_them(cell, drawn, tmp_path):
    def of_temperature(value):
        result = cell(f"T {value}", [value, value, value])
        return result | {"settings": {"fit": "learned", "loss": {"temperature": value}}}

    assert not figures.draw_temperatures([of_temperature(0.1), of_temperature(0.2)], tmp_path / "a.png")
    assert drawn == []
    assert figures.draw_temperatures([of_temperature(value) for value in (0.4, 0.1, 0.2)], tmp_path / "a.png")
    (line,) = drawn[0].axes[0].lines
    assert line.get_label() == "probability"
    np.testing.assert_allclose(line.get_xydata(), [(0.1, 0.1), (0.2, 0.2), (0.4, 0.4)])
