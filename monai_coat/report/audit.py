# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The figure of an audit: the risks of all images in order, and the mean risk of each group with its interval."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monai_coat.report._sheet import COLORS, FAINT, INK, LINE, MIDDLE, PLAIN, SMALL, Box, Sheet, fit, wrap

__all__ = ["AuditPlot", "IntervalRow", "draw_audit"]

WIDTH, EDGE = 12.0, 0.4  # inches
CURVE = 4.3  # inches
NAMES = 2.1  # inches for the names of groups
COUNTS = 0.8  # inches of these for numbers of images
LEAST, ROW = 2.6, 0.3  # inches: the plots' height at least, and of each row
BELOW = 0.75  # inches for the labels of the axes
CALM, LOUD = COLORS[0], COLORS[1]


@dataclass(frozen=True)
class IntervalRow:
    """A mean risk with its interval.

    Attributes:
        name: of the group.
        n: images in it.
        mean: of their risks; NaN without images.
        interval: of the mean risk.
        is_above: whether it is drawn in the other colour.
    """

    name: str
    n: int
    mean: float
    interval: tuple[float, float]
    is_above: bool = False


@dataclass(frozen=True)
class AuditPlot:
    """What is drawn of one promise.

    Attributes:
        title: the verdict in words.
        risks: of the images that count.
        alpha: what was promised.
        limit: the largest mean risk that does not speak against the promise.
        rows: means with intervals, that of all images first.
    """

    title: str
    risks: Sequence[float]
    alpha: float
    limit: float
    rows: Sequence[IntervalRow]


def draw_audit(plots: Sequence[AuditPlot], path: str | os.PathLike[str]) -> None:
    """Draw one PNG, 1200 pixels wide: a strip for each promise.

    On its left are the risks of all images, ascending, and their mean; on its right are the means of groups with their
    intervals. Both have alpha as a line, and the limit as a dashed one where it is another. The same arguments give the
    same bytes.

    Args:
        plots: one for each promise, at least one.
        path: file to write, replaced as a whole if it exists; its folder is made.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if there is no plot.
    """
    if not plots:
        raise ValueError("plots must hold at least one promise, got none.")
    inner = WIDTH - 2 * EDGE
    titles = [wrap(plot.title, inner, 4, PLAIN, "bold") for plot in plots]
    heights = [max(LEAST, ROW * len(plot.rows)) for plot in plots]
    strips = [LINE * len(title) + 0.2 + height + BELOW for title, height in zip(titles, heights, strict=True)]
    sheet, top = Sheet(WIDTH, EDGE + sum(strips)), EDGE
    for plot, title, height, strip in zip(plots, titles, heights, strips, strict=True):
        for index, line in enumerate(title):
            sheet.text(EDGE, top + index * LINE, line, PLAIN, weight="bold")
        below = top + LINE * len(title) + 0.2
        _draw_risks(sheet, Box(EDGE + 0.45, below, CURVE, height), plot)
        left = EDGE + 0.45 + CURVE + 0.4 + NAMES
        _draw_rows(sheet, Box(left, below, WIDTH - EDGE - left, height), plot)
        top += strip
    sheet.save(path)


def _draw_risks(sheet: Sheet, box: Box, plot: AuditPlot) -> None:
    """The risk of each image, ascending."""
    axes, risks = sheet.axes(box), np.sort(np.asarray(plot.risks, dtype=np.float64))
    share = (np.arange(len(risks)) + 0.5) / len(risks)
    axes.fill_between(share, risks, step="mid", color=CALM, alpha=0.25, linewidth=0)
    axes.step(share, risks, where="mid", color=CALM, linewidth=1.6)
    mean = float(risks.mean())
    axes.axhline(mean, color=CALM, linewidth=1.2, linestyle="dotted")
    axes.axhline(plot.alpha, color=INK, linewidth=1.4)
    if not math.isclose(plot.limit, plot.alpha):
        axes.axhline(plot.limit, color=INK, linewidth=1.0, linestyle="dashed")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), yticks=np.arange(6) / 5)
    axes.set_xlabel(f"share of the {len(risks)} images (dotted: their mean, {mean:.3f})", size=PLAIN)
    axes.set_ylabel("risk of an image", size=PLAIN)


def _draw_rows(sheet: Sheet, box: Box, plot: AuditPlot) -> None:
    """Intervals below each other, with names on their left."""
    axes = sheet.axes(box)
    for place, row in enumerate(plot.rows):
        color = LOUD if row.is_above else CALM
        axes.plot(row.interval, [place, place], color=color, linewidth=2.2, solid_capstyle="butt")
        if math.isfinite(row.mean):
            axes.plot([row.mean], [place], marker="s" if row.is_above else "o", color=color, markersize=6)
        top = box.top + (place + 0.5) * box.height / len(plot.rows) - MIDDLE * SMALL / 72
        sheet.text(box.left - COUNTS, top, fit(row.name, NAMES - COUNTS, SMALL), SMALL, ha="right")
        sheet.text(box.left - 0.12, top, f"n = {row.n}", SMALL, color=FAINT, ha="right")
    axes.axvline(plot.alpha, color=INK, linewidth=1.4)
    if not math.isclose(plot.limit, plot.alpha):
        axes.axvline(plot.limit, color=INK, linewidth=1.0, linestyle="dashed")
    axes.set(xlim=(0, 1), ylim=(len(plot.rows) - 0.5, -0.5), yticks=[])
    axes.set_xlabel(f"mean risk, 95 % intervals; squares are above {plot.alpha:g}", size=PLAIN)
