# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from monai_coat.report import AuditPlot, IntervalRow, draw_audit


def plot(rows=1, is_above=False, title="E[FNR] <= 0.1: kept"):
    intervals = [IntervalRow(f"group {k}", 5, 0.2, (0.1, 0.4), is_above) for k in range(rows)]
    return AuditPlot(title, [0.0, 0.25, 0.5], 0.1, 0.2, intervals)


def drawn(path, *plots):
    draw_audit(plots, path)
    with Image.open(path) as figure:
        return np.asarray(figure.convert("RGB")).astype(int)


def test_each_promise_has_a_strip_and_rows_make_it_higher(tmp_path):
    one, two, tall = (
        drawn(tmp_path / "1.png", plot()),
        drawn(tmp_path / "2.png", plot(), plot()),
        drawn(tmp_path / "3.png", plot(rows=20)),
    )
    assert one.shape[1] == two.shape[1] == tall.shape[1] == 1200
    assert two.shape[0] - 40 == 2 * (one.shape[0] - 40)
    assert tall.shape[0] > one.shape[0] + 300


def test_a_group_that_is_above_has_another_colour(tmp_path):
    orange = [np.abs(drawn(tmp_path / f"{k}.png", plot(is_above=k)) - [0xD5, 0x5E, 0]).sum(2).min() for k in (0, 1)]
    assert orange[1] < 10 < orange[0]


def test_the_same_is_drawn_each_time_dollars_and_empty_groups_too(tmp_path):
    row = IntervalRow("$x", 0, math.nan, (0.0, 1.0))
    shown = AuditPlot("a $title " * 60, [0.5], 0.1, 0.1, [row])
    for name in ("a", "b"):
        draw_audit([shown], tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with pytest.raises(ValueError, match="at least one promise"):
        draw_audit([], tmp_path / "c.png")
