# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import pytest

from monai_coat.report._sheet import Sheet, fit, method_styles, width_of, wrap

LONG = "coat_with_a_very_long_name_that_says_every_setting"


def test_methods_differ_in_colour_dash_and_marker():
    styles = method_styles(["crc", "at", "crc", "coat", "aa_crc", "sacp"])
    assert list(styles) == ["crc", "at", "coat", "aa_crc", "sacp"]
    for look in ("color", "dashes", "marker"):
        assert len({getattr(style, look) for style in styles.values()}) == 5


def test_seventy_methods_still_have_a_look():
    assert len(method_styles(map(str, range(70)))) == 70


def test_the_measured_width_is_the_drawn_width():
    sheet = Sheet(8, 2)
    sheet.text(1, 1, LONG, 10.5, weight="bold")
    drawn = sheet.figure.texts[0].get_window_extent().width / sheet.figure.dpi
    assert width_of(LONG, 10.5, "bold") == pytest.approx(drawn, abs=0.02)


def test_fit_keeps_both_ends():
    assert fit("crc", 1) == "crc"
    short = fit(LONG, 1.5)
    assert width_of(short) <= 1.5
    first, last = short.split("…")
    assert LONG.startswith(first)
    assert LONG.endswith(last)
    assert abs(len(first) - len(last)) <= 1
    assert fit("two\nlines  and\tspaces", 5) == "two lines and spaces"


def test_wrap_uses_no_more_lines_than_allowed():
    text = " ".join(["word"] * 30)
    for lines in (1, 2, 3):
        wrapped = wrap(text, 2.0, lines)
        assert len(wrapped) == lines
        assert all(width_of(line) <= 2.0 for line in wrapped)
    assert wrap("short", 2.0, 3) == ["short"]
    assert wrap("", 2.0, 3) == []
    assert " ".join(wrap(text, 2.0, 30)) == text


def test_a_page_has_the_pixels_that_were_asked_for_and_no_mathematics(tmp_path):
    from PIL import Image

    sheet = Sheet(3, 2)
    sheet.text(0.1, 0.1, r"$x_i$ $broken_{$")
    sheet.save(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.size == (300, 200)
