# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from PIL import Image

from monai_coat.report import Panel, draw_page, page
from monai_coat.report._sheet import Sheet

LONG = "_coat: soft true positive rate, temperature 0.05, 60 epochs, resnet18, seed 0, $x_i$ | with more words "
LOSSES = {"coat": [3.0, 2.0, 1.5], "segmenter": [1.0], "unused": []}


@pytest.fixture
def panels():
    label = np.zeros((30, 40), bool)
    label[10:20, 25:] = True  # touches the border
    none, full = np.zeros_like(label), np.ones_like(label)
    grey = np.linspace(0, 1, label.size).reshape(label.shape)
    return [
        Panel("worst under crc: a", grey, label, {"crc": label, "coat": full}, {"crc": 1.0, "coat": 1.0}),
        Panel("nothing to see, " * 20, grey, none, {"crc": none, "coat": none}, {"crc": np.nan, "coat": np.nan}),
        Panel("", np.stack([grey] * 3, -1), full, {"other": ~label}, {"other": 0.9}),
        Panel("tall", grey.T, label.T, {}, {}),
        Panel("fifth", grey, label, {"crc": label}, {"crc": 1.0}),
    ]


def size_of(path):
    with Image.open(path) as image:
        image.load()  # decodes all of it
        return image.size


def test_the_page_grows_with_what_is_on_it(tmp_path, records, panels):
    heights = []
    for index, parts in enumerate(
        [{}, {"losses": LOSSES}, {"panels": panels[:1]}, {"losses": LOSSES, "panels": panels}]
    ):
        draw_page(records, 0.1, tmp_path / "new" / f"{index}.png", **parts)
        width, height = size_of(tmp_path / "new" / f"{index}.png")
        assert width == 1600
        heights.append(height)
    assert heights[0] == heights[1] < heights[2] < heights[3]
    assert 700 < heights[0] < 900


def test_the_same_arguments_give_the_same_bytes(tmp_path, records, panels):
    for name in ("a.png", "b.png"):
        draw_page(records, 0.1, tmp_path / name, LOSSES, panels[:1])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def visible_ticks(axis):
    low, high = sorted(axis.get_view_interval())
    return [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high and tick.label1.get_visible()]


@pytest.mark.parametrize("names", [["crc", "coat"], [LONG * 2, LONG + "2", LONG + "3"], [f"m{i}" for i in range(7)]])
def test_no_text_overlaps_another_or_leaves_the_page(tmp_path, records, monkeypatch, names):
    sheets = []
    monkeypatch.setattr(Sheet, "save", lambda self, path: sheets.append(self))
    each = {name: list(records.values())[i % 2] for i, name in enumerate(names)}
    mask = np.eye(20, dtype=bool)
    tile = Panel(LONG * 2, np.eye(20), mask, dict.fromkeys(names, mask), dict.fromkeys(names, 1.0))
    draw_page(each, 0.1, tmp_path / "page.png", {name: [2.0, 1.0] for name in names}, [tile] * 5)
    figure = sheets[0].figure
    figure.canvas.draw()
    axes_of = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    labels = [axis.label for axis in axes_of]
    ticks = [tick.label1 for axis in axes_of for tick in visible_ticks(axis)]
    texts = [t for t in [*figure.texts, *labels, *ticks] if t.get_text()]
    assert len(texts) > 60
    boxes = [t.get_window_extent() for t in texts]
    for text, box in zip(texts, boxes, strict=True):
        assert box.x0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y0 >= 0, text
        assert box.y1 <= figure.bbox.y1, text
    for i, box in enumerate(boxes):
        for j in range(i):
            other = boxes[j]
            wide = min(box.x1, other.x1) - max(box.x0, other.x0)
            high = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert wide <= 1 or high <= 1, (texts[i], texts[j])


def test_it_says_what_was_left_out(tmp_path, records, monkeypatch):
    sheets = []
    monkeypatch.setattr(Sheet, "save", lambda self, path: sheets.append(self))
    draw_page(records, 0.1, tmp_path / "page.png")
    texts = [text.get_text() for text in sheets[0].figure.texts]
    assert texts[0] == "Coverage of each image at alpha = 0.1"
    assert texts[1].startswith("3 images with foreground; 1 without foreground left out.")
    assert "target 0.9" in texts
    assert "label" not in texts  # there are no panels


def test_drawing_leaves_the_state_of_matplotlib_alone(tmp_path, records):
    import matplotlib

    before = dict(matplotlib.rcParams)
    draw_page(records, 0.1, tmp_path / "page.png")
    assert dict(matplotlib.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_arguments(tmp_path, records):
    path = tmp_path / "page.png"
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\), got 0\.0"):
        draw_page(records, 0.0, path)
    with pytest.raises(ValueError, match="at least one method, got none"):
        draw_page({}, 0.1, path)
    with pytest.raises(ValueError, match="same images for every method"):
        draw_page({**records, "coat": records["coat"][1:]}, 0.1, path)
    with pytest.raises(ValueError, match="at least one image with foreground"):
        draw_page({"crc": records["crc"][3:]}, 0.1, path)
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_written_leaves_no_file(tmp_path, records, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        draw_page(records, 0.1, tmp_path / "page.png")
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_it_names_the_extra(tmp_path, records, monkeypatch):
    for name in [n for n in sys.modules if n.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"matplotlib must be installed .* pip install 'monai_coat\[report\]'"):
        draw_page(records, 0.1, tmp_path / "page.png")
    assert list(tmp_path.iterdir()) == []


def test_the_module_names_its_public_things():
    assert page.__all__ == ["Panel", "choose_panels", "draw_page"]
