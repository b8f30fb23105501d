# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Records class by class, the worst of them, and slices of volumes."""

from __future__ import annotations

import numpy as np
import pytest

from monai_coat.metrics import ImageRecord
from monai_coat.report import compare_classes, orthogonal_panels
from monai_coat.report.compare_classes import _of_class, _worst


def record(name, coverage, difficulty=0.5):
    foreground = 0 if np.isnan(coverage) else 8
    return ImageRecord(name, coverage, 10, 5, foreground, 100, difficulty)


RECORDS = [record("a:0", 0.9), record("a:1", 0.4, 0.7), record("b:0", np.nan), record("b:1", 0.7), record("c:x:0", 0.2)]


def test_a_class_has_its_records_under_the_images_names():
    assert [(r.name, r.coverage) for r in _of_class(RECORDS, 1)] == [("a", 0.4), ("b", 0.7)]
    assert [r.name for r in _of_class(RECORDS, 0)] == ["a", "b", "c:x"]


def test_the_worst_class_is_that_of_the_lowest_coverage_and_never_an_absent_one():
    worst = _worst(RECORDS)
    assert [(r.name, r.coverage) for r in worst] == [("a", 0.4), ("b", 0.7), ("c:x", 0.2)]
    assert worst[0] == ImageRecord("a", 0.4, 20, 10, 16, 200, 0.7)
    assert np.isnan(_worst([record("a:0", np.nan)])[0].coverage)


def test_three_slices_meet_in_the_middle_of_the_label():
    label = np.zeros((6, 7, 8), bool)
    label[1:4, 2:5, 5] = True
    image = np.random.default_rng(0).random(label.shape).astype(np.float32)
    panels = orthogonal_panels("volume", image, label, {"crc": label}, {"crc": 0.5})
    assert [panel.title for panel in panels] == [
        "volume, first axis at 2",
        "volume, second axis at 3",
        "volume, third axis at 5",
    ]
    for axis, panel in enumerate(panels):
        cut = np.rot90(image.take((2, 3, 5)[axis], axis))
        assert np.array_equal(panel.image, cut)
        assert panel.label.any()
        assert np.array_equal(panel.masks["crc"], panel.label)


def test_slices_have_the_relative_size_of_the_whole_set():
    label = np.zeros((6, 7, 8), bool)
    label[1:4, 2:5, 5] = True
    wide = label.copy()
    wide[0] = True  # which the three slices show in part
    for panel in orthogonal_panels("volume", np.zeros(label.shape), label, {"crc": wide}, {"crc": 1.0}):
        assert panel.sizes == {"crc": (9 + 7 * 8) / 9}


def test_a_volume_without_label_is_cut_in_its_own_middle():
    nothing = np.zeros((5, 5, 5), bool)
    panels = orthogonal_panels("v", np.zeros((5, 5, 5)), nothing, {}, {})
    assert [panel.title[-1] for panel in panels] == ["2", "2", "2"]


def test_one_class_needs_no_names():
    with pytest.raises(ValueError, match="class_names must be at least two, got 1; use compare"):
        compare_classes(None, {}, 0.1, "unused", ["organ"])
