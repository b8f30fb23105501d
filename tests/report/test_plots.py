# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from monai_coat.functional import target_coverage
from monai_coat.report._plots import (
    Shares,
    bin_edges,
    difficulties,
    draw_difficulty,
    draw_histograms,
    draw_losses,
    group_edges,
)
from monai_coat.report._sheet import Box, Sheet, method_styles

BOX = Box(1, 1, 4, 4)


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.02, 0.05, 0.1, 0.12, 0.15, 0.25, 0.3, 1 / 3, 0.123456789, 0.7, 0.99])
def test_bins_hold_every_coverage_and_none_straddles_the_target(alpha):
    target = target_coverage(alpha)
    edges = bin_edges(target)
    assert target in edges
    assert edges[0] <= 0.0
    assert edges[-1] >= 1.0
    np.testing.assert_allclose(np.diff(edges), np.diff(edges)[0], atol=1e-9)
    assert 0.02 - 1e-9 <= np.diff(edges)[0] <= 0.0502


def test_bins_at_the_usual_level_are_twentieths():
    np.testing.assert_array_equal(bin_edges(0.9), [round(i / 20, 2) for i in range(21)])


def test_groups_keep_equal_difficulties_together():
    np.testing.assert_allclose(group_edges(np.arange(11.0)), [2, 4, 6, 8])
    np.testing.assert_array_equal(group_edges(np.full(7, 0.5)), [0.5])


def test_difficulty_comes_from_the_first_method_that_knows_it(records):
    unknown = [replace(r, difficulty=math.nan) for r in records["crc"]]
    other = [replace(r, difficulty=2 * r.difficulty) for r in records["coat"]]
    known = difficulties({"at": unknown, "crc": records["crc"], "coat": other})
    assert known == {("a", 8, 100): 0.1, ("b", 8, 100): 0.4, ("c", 4, 100): 0.9, ("d", 0, 100): 0.25}
    assert difficulties({"at": unknown}) == {}


@pytest.fixture
def sheet():
    return Sheet(8, 8)


def test_histograms_count_every_image_on_equal_axes(sheet, records):
    draw_histograms(sheet, BOX, Shares.of(records, 0.1, 0.9), method_styles(records))
    crc, coat = sheet.figure.axes
    assert [sum(bar.get_height() for bar in axes.patches) for axes in (crc, coat)] == [3, 3]
    heights = {round(bar.get_x(), 9): bar.get_height() for bar in crc.patches}
    assert [heights[x] for x in (0.0, 0.5, 0.95)] == [1, 1, 1]
    assert crc.get_ylim() == coat.get_ylim()
    assert crc.get_position().height == pytest.approx(coat.get_position().height)
    assert [text.get_text() for text in sheet.figure.texts] == [
        "crc",
        "mean 0.500 · 67% below target · median rel. size 0.50",
        "coat",
        "mean 0.792 · 100% below target · median rel. size 1.12",  # of 7/8, 6/8, 3/4, and of 8/8, 9/8, 6/4
    ]


def test_means_by_difficulty(sheet, record):
    each = [record(str(i), i, i, 10, difficulty=i / 10) for i in range(10)]
    draw_difficulty(sheet, BOX, Shares.of({"crc": each}, 0.1, 0.9), method_styles(["crc"]))
    (axes,) = sheet.figure.axes
    drawn = axes.containers[-1].lines[0]  # fifths of two images: 0 and 1, 2 and 3, ...
    np.testing.assert_allclose(drawn.get_xdata(), [0.05, 0.25, 0.45, 0.65, 0.85])
    np.testing.assert_allclose(drawn.get_ydata(), [0.05, 0.25, 0.45, 0.65, 0.85])
    assert axes.collections[0].get_offsets().shape == (10, 2)


def test_no_difficulty_is_said(sheet, record):
    each = [record("a", 1, 1, 2, difficulty=math.nan)]
    draw_difficulty(sheet, BOX, Shares.of({"crc": each}, 0.1, 0.9), method_styles(["crc"]))
    assert [text.get_text() for text in sheet.figure.axes[0].texts] == ["no record has a difficulty"]


def test_losses_have_scales_of_their_own_and_one_epoch_axis(sheet):
    losses = {"at": [300.0, 200.0, 100.0], "coat": [0.5]}
    draw_losses(sheet, BOX, losses, method_styles(losses))
    at, coat = sheet.figure.axes
    np.testing.assert_array_equal(at.lines[0].get_xydata(), [[1, 300], [2, 200], [3, 100]])
    assert at.get_xlim() == coat.get_xlim() == (0.5, 3.5)
    assert at.get_ylim() != coat.get_ylim()
    assert "own scale" in coat.get_xlabel()
    assert sheet.figure.texts[1].get_text() == "first 300 · last 100"
