# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A plan as a table and as a picture: the risk of new images against the number of calibration images."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from monai_coat.calibration import Plan, Scatter, scatter
from monai_coat.report._sheet import COLORS, FAINT, INK, MARKERS, PLAIN, SMALL, TITLE, Box, Sheet, drawing, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_plan", "plan_to_markdown"]

HEADER = ("Calibration images", "Risk", "Mean", "SD", "5 %", "50 %", "95 %", "Above alpha")
CAPTION = (
    "Over draws of the calibration images: the mean risk that all new images have afterwards. All or nothing: each "
    "image loses everything or nothing, with continuous scores; exact. {pilot}"
)
PILOT = "Pilot: by drawing from its images; an estimate, and no promise."
NO_PILOT = "Graded risks mostly scatter less; a pilot of labelled images says how much."
WIDTH, HEIGHT, EDGE = 9.0, 6.0, 0.4  # inches
POINTS = 160
DODGE = 1.06  # between bars of the same number of images
NEAREST = 0.05  # of the axis, between its numbers


def plan_to_markdown(plan: Plan) -> str:
    """Lay a plan out as its words, a Markdown table, and a caption that says what the numbers are.

    Example:
        >>> from monai_coat.calibration import ExpectedRisk, plan_calibration
        >>> print(plan_to_markdown(plan_calibration(ExpectedRisk(alpha=0.5), [1])).splitlines()[-3])
        | 1 | all or nothing | 0.500 | 0.289 | 0.050 | 0.500 | 0.950 | 50 % |
    """
    blocks = [("all or nothing", plan.rows)]
    blocks += [(f"pilot, {pilot.name}" if pilot.name else "pilot", pilot.rows) for pilot in plan.pilots]
    lines = [HEADER, ("---:", "---", *["---:"] * (len(HEADER) - 2))]
    lines += [_cells(name, row) for name, rows in blocks for row in rows]
    caption = CAPTION.format(pilot=PILOT if plan.pilots else NO_PILOT)
    return "\n".join([f"{plan.words}.", "", *(f"| {' | '.join(line)} |" for line in lines), "", caption])


def draw_plan(plan: Plan, path: str | os.PathLike[str]) -> None:
    """Draw one PNG: the band of 90 of 100 calibrations against the number of images, with its median and alpha.

    The band is of risks that are all or nothing. What a pilot says is beside it, a bar for each number of images.

    Args:
        plan: what is drawn.
        path: file to write, replaced as a whole if it exists; its folder is made.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    sheet = Sheet(WIDTH, HEIGHT)
    sheet.text(EDGE, EDGE - 0.1, "Risk of new images after one calibration", TITLE, weight="bold")
    subject = f"to promise {plan.guarantee.promise}; scattering over draws of the calibration images"
    for line, text in enumerate(wrap(subject, WIDTH - 2 * EDGE, 1)):
        sheet.text(EDGE, EDGE + 0.25 + 0.2 * line, text, PLAIN, color=FAINT)
    axes = sheet.axes(Box(EDGE + 0.5, 1.15, WIDTH - 2 * EDGE - 0.6, HEIGHT - 2.0))
    _draw_band(axes, plan)
    for place, pilot in enumerate(plan.pilots):
        dodge = DODGE ** (place - (len(plan.pilots) - 1) / 2)
        name = f"pilot, {pilot.name}" if pilot.name else "pilot"
        _draw_bars(axes, pilot.rows, dodge, f"{name} ({pilot.images} images)", 1 + place)
    alpha = float(plan.guarantee.alpha)
    axes.axhline(alpha, color=INK, linewidth=1.4, zorder=2.5, label=f"alpha = {alpha:g}")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    shown = shown_sizes([row.n for row in plan.rows])
    axes.set_xticks(shown, [str(size) for size in shown])
    axes.xaxis.set_minor_locator(drawing("ticker", "NullLocator")())
    axes.set_xlabel(f"calibration {plan.guarantee.units}", size=PLAIN)
    axes.set_ylabel("mean risk of all new images", size=PLAIN)
    axes.legend(fontsize=SMALL, frameon=False, loc="upper right")
    sheet.save(path)


def _cells(name: str, row: Scatter) -> tuple[str, ...]:
    numbers = (row.mean, row.sd, row.low, row.median, row.high)
    return (str(row.n), name, *(f"{number:.3f}" for number in numbers), f"{math.ceil(100 * row.above)} %")


def _draw_band(axes: Axes, plan: Plan) -> None:
    """Of all numbers of images between the rows', not of the rows alone: losses that are tolerated come one by one."""
    first, last = plan.rows[0].n, max(plan.rows[-1].n, plan.rows[0].n + 1)
    sizes = np.unique(np.geomspace(first, last, POINTS).round().astype(int)).tolist()
    rows = [scatter(plan.guarantee, size) for size in sizes]
    low, high = [row.low for row in rows], [row.high for row in rows]
    label = "90 of 100 calibrations, risks all or nothing"
    axes.fill_between(sizes, low, high, color=COLORS[0], alpha=0.22, linewidth=0, label=label)
    axes.plot(sizes, [row.median for row in rows], color=COLORS[0], linewidth=1.8, label="their median")


def _draw_bars(axes: Axes, rows: Sequence[Scatter], dodge: float, label: str, place: int) -> None:
    """A bar from the 5 % to the 95 % quantile, with a marker at the median."""
    middle = np.array([row.median for row in rows])
    reach = [middle - [row.low for row in rows], [row.high for row in rows] - middle]
    axes.errorbar(
        [row.n * dodge for row in rows],
        middle,
        reach,
        color=COLORS[place % len(COLORS)],
        marker=MARKERS[place % len(MARKERS)],
        linestyle="none",
        markersize=6,
        elinewidth=1.8,
        capsize=4,
        label=label,
    )


def shown_sizes(sizes: Sequence[int]) -> list[int]:
    """Numbers of images that have room on the axis: none that would touch the one before."""
    shown: list[int] = []
    for size in sizes:
        if not shown or math.log(size / shown[-1]) > NEAREST * math.log(max(sizes[-1] / sizes[0], 2)):
            shown.append(size)
    return shown
