# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import math

import numpy as np
import pytest

from monai_coat.report import ImageRecord, Panel, choose_panels


def panel(**changes):
    parts = {"title": "t", "image": np.full((4, 6), 0.5), "label": np.eye(4, 6, dtype=bool)}
    parts |= {"masks": {"crc": np.ones((4, 6), bool)}, "coverages": {"crc": 1.0}}
    return Panel(**(parts | changes))


def test_grey_and_colour_images():
    assert panel().image.shape == (4, 6)
    assert panel(image=np.zeros((4, 6, 3), np.float32)).masks.keys() == {"crc"}
    assert panel(masks={}, coverages={}).title == "t"
    assert panel() != panel()  # compared as objects


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"image": np.zeros((3, 4, 6))}, ValueError, r"image of 't' must have shape \(H, W\).* got \(3, 4, 6\); move"),
        ({"image": np.zeros(4)}, ValueError, r"image of 't' must have shape .* got \(4,\)"),
        ({"image": np.full((4, 6), 255)}, ValueError, r"image of 't' must hold values in \[0, 1\].* divide"),
        ({"image": np.full((4, 6), math.nan)}, ValueError, r"image of 't' must hold values in \[0, 1\]"),
        ({"image": np.zeros((0, 6))}, ValueError, r"image of 't' must hold values in \[0, 1\]"),
        ({"label": np.ones((4, 6))}, TypeError, "label of 't' must be bool, got float64"),
        ({"label": np.ones((1, 4, 6), bool)}, ValueError, r"label of 't' .* \(4, 6\) of its image, got \(1, 4, 6\)"),
        ({"masks": {"crc": np.ones((4, 5), bool)}}, ValueError, r"crc of 't' must have .* got \(4, 5\); squeeze"),
        ({"coverages": {"coat": 1.0}}, ValueError, r"masks and coverages of 't' .* got \['crc'\] and \['coat'\]; give"),
    ],
)
def test_arguments_of_a_panel(changes, error, message):
    with pytest.raises(error, match=message):
        panel(**changes)


def of(**coverages):
    return [ImageRecord(n, c, 5, 5, 0 if math.isnan(c) else 10, 100, 0.5) for n, c in coverages.items()]


def test_the_worst_and_the_typical_under_both():
    crc = of(a=0.0, b=0.1, c=0.2, d=0.50, e=0.51, f=0.9, g=0.95, h=1.0, z=math.nan)
    coat = of(a=0.9, b=0.91, c=0.3, d=0.99, e=0.98, f=0.92, g=0.2, h=1.0, z=math.nan)
    # Medians: of crc (0.50 + 0.51) / 2, so d and e; of coat, sorted .2 .3 .9 .91 | .92 .98 .99 1, 0.915, so b and f.
    assert choose_panels({"crc": crc, "at": crc, "coat": coat}) == [
        ("worst under crc: a", "a"),
        ("2nd worst under crc, typical under coat: b", "b"),
        ("worst under coat: g", "g"),
        ("2nd worst under coat: c", "c"),
        ("typical under crc: d", "d"),
        ("typical under crc: e", "e"),
        ("typical under coat: f", "f"),
    ]


def test_ties_go_by_name_and_no_image_comes_twice():
    same = of(c=0.5, a=0.5, b=0.5)
    chosen = choose_panels({"x": same, "y": same}, reference="x", method="y")
    assert [name for _, name in chosen] == ["a", "b"]
    assert chosen[0][0] == "worst under x, worst under y, typical under x, typical under y: a"


def test_one_image_and_one_method():
    assert choose_panels({"crc": of(a=0.5)}, method="crc") == [("worst under crc, typical under crc: a", "a")]


def test_arguments_of_choose_panels():
    with pytest.raises(ValueError, match="method must be one of the methods of records, got 'coat'; there are 'crc'"):
        choose_panels({"crc": of(a=0.5)})
    with pytest.raises(ValueError, match=r"reference must be one of .* got 'crc'; there are none"):
        choose_panels({})
    with pytest.raises(ValueError, match="same images"):
        choose_panels({"crc": of(a=0.5), "coat": of(b=0.5)})
    with pytest.raises(ValueError, match="at least one image with foreground"):
        choose_panels({"crc": of(a=math.nan), "coat": of(a=math.nan)})
