# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A sheet of paper: axes and text placed in inches from the top left corner, and how each method looks on it."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from monai.utils import optional_import

from monai_coat.files.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__: list[str] = []

DPI = 100
INK, FAINT, GRID = "#222222", "#5a5a5a", "#dddddd"
LINE = 0.2  # inches from one line of small text to the next
SMALL, PLAIN, LARGE, TITLE = 9.5, 10.5, 12.0, 16.0  # points
BASELINE, MIDDLE = 0.8, 0.52  # from the top of a line of text, in units of its size

# Okabe and Ito's colours, told apart with every common colour vision; yellow is left out, being faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777")
DASHES = ("solid", (0, (4.0, 1.4)), (0, (1.2, 1.2)), (0, (6.0, 1.4, 1.2, 1.4)), (0, (9.0, 1.8)))
MARKERS = ("o", "s", "^", "D", "v")


def drawing(module: str, name: str) -> Any:
    """A class of matplotlib, which only the report needs."""
    found, present = optional_import(f"matplotlib.{module}", name=name)
    if not present:
        raise ImportError(
            "matplotlib must be installed to draw a page, got no such package; run pip install 'monai_coat[report]'."
        )
    return found


@dataclass(frozen=True)
class Box:
    """A rectangle on the sheet, in inches; ``left`` and ``top`` are its upper left corner."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class MethodStyle:
    """How a method looks, the same everywhere; dashes and markers differ as well as colours."""

    color: str
    dashes: Any
    marker: str


def method_styles(methods: Iterable[str]) -> dict[str, MethodStyle]:
    """A look for each method, by its place in the order of first mention."""
    return {
        method: MethodStyle(COLORS[i % len(COLORS)], DASHES[i % len(DASHES)], MARKERS[i % len(MARKERS)])
        for i, method in enumerate(dict.fromkeys(methods))
    }


class Sheet:
    """A figure without pyplot, so that a drawing neither changes nor depends on anybody's backend or current figure.

    Args:
        width: inches.
        height: inches.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = drawing("figure", "Figure")(figsize=(width, height), dpi=DPI, facecolor="white")
        self._canvas = drawing("backends.backend_agg", "FigureCanvasAgg")(self.figure)

    def axes(self, box: Box) -> Axes:
        """Plain axes that fill a box, open above and on the right."""
        axes: Axes = self.figure.add_axes(self._fraction(box), facecolor="white")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=SMALL, colors=INK)
        axes.grid(True, color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        return axes

    def text(self, left: float, top: float, content: str, size: float = PLAIN, **look: Any) -> None:
        """Write a line whose upper edge is at ``top``, as it stands: a dollar sign is no mathematics."""
        look = {"color": INK, "va": "baseline", **look}  # else letters and figures would not stand on one line
        height = 1 - (top + BASELINE * size / 72) / self.height
        self.figure.text(left / self.width, height, content, size=size, parse_math=False, **look)

    def swatch(self, left: float, top: float, length: float, size: float = PLAIN, **look: Any) -> None:
        """Draw a piece of line with its marker in the middle, as in a legend beside text of this size and ``top``."""
        line = drawing("lines", "Line2D")
        across = [(left + part * length) / self.width for part in (0.0, 0.5, 1.0)]
        height = 1 - (top + MIDDLE * size / 72) / self.height
        place = {"transform": self.figure.transFigure, "markevery": [1]}
        self.figure.add_artist(line(across, [height] * 3, **place, **look))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a PNG, whole or not at all; the same drawing gives the same bytes."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            self._canvas.print_png(file, metadata={"Software": None})

    def _fraction(self, box: Box) -> tuple[float, float, float, float]:
        bottom = 1 - (box.top + box.height) / self.height
        return box.left / self.width, bottom, box.width / self.width, box.height / self.height


@lru_cache(maxsize=4096)
def width_of(content: str, size: float = PLAIN, weight: str = "normal") -> float:
    """Width of a line of text in inches."""
    font = drawing("font_manager", "FontProperties")(size=size, weight=weight)
    renderer = drawing("backends.backend_agg", "RendererAgg")(1, 1, DPI)  # hinted, thus as it will be drawn
    pixels: float = renderer.get_text_width_height_descent(content, font, ismath=False)[0]
    return pixels / DPI


def fit(content: str, width: float, size: float = PLAIN, weight: str = "normal") -> str:
    """The text on one line, with its middle left out if it is wider than ``width`` inches."""
    content = " ".join(content.split())
    if len(content) < 4 or width_of(content, size, weight) <= width:
        return content
    fitting = bisect_right(
        range(3, len(content)), width, key=lambda kept: width_of(_shorten(content, kept), size, weight)
    )
    return _shorten(content, fitting + 2)


def _shorten(content: str, kept: int) -> str:
    tail = kept // 2
    return f"{content[: kept - tail].rstrip()}…{content[-tail:].lstrip()}"


def wrap(content: str, width: float, lines: int, size: float = PLAIN, weight: str = "normal") -> list[str]:
    """The text on at most so many lines, broken at spaces; the last holds the rest, shortened."""
    words = content.split()
    if not words:
        return []
    if lines == 1:
        return [fit(content, width, size, weight)]
    longer = range(2, len(words) + 1)  # one word stands in a line even if it must be shortened
    count = 1 + bisect_right(longer, width, key=lambda many: width_of(" ".join(words[:many]), size, weight))
    first = fit(" ".join(words[:count]), width, size, weight)
    return [first, *wrap(" ".join(words[count:]), width, lines - 1, size, weight)]
