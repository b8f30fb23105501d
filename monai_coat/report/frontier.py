# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What precision costs, as a picture: the coverage gap against precision, at prices on precision."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from monai_coat.report._sheet import COLORS, FAINT, INK, MARKERS, PLAIN, SMALL, TITLE, Box, Sheet
from monai_coat.scorers import ExpectedGapScorer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_frontier"]

WIDTH, HEIGHT, EDGE = 7.0, 5.4, 0.4  # inches


def draw_frontier(
    scorer: ExpectedGapScorer, alpha: float, path: str | os.PathLike[str], class_names: Sequence[str] = ()
) -> None:
    """Draw one PNG: a line for each class that is adapted, and a cross for one threshold for all images.

    Every point has coverage on target on average. The numbers are of images that were left out in turn.

    Args:
        scorer: fitted.
        alpha: tolerated mean false negative rate, in (0, 1).
        path: file to write, replaced as a whole if it exists; its folder is made.
        class_names: what the classes are called; by default their numbers.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if ``alpha`` is outside (0, 1), or a class has too few images.
    """
    names = list(class_names) or [f"class {index}" for index in range(scorer.num_classes)]
    found = [scorer.frontier(alpha, index) for index in range(scorer.num_classes)]
    sheet = Sheet(WIDTH, HEIGHT)
    sheet.text(EDGE, EDGE - 0.1, "What precision costs", TITLE, weight="bold")
    about = f"Images left out in turn, coverage {1 - alpha:g} on average; from dear precision (right) to none asked for"
    sheet.text(EDGE, EDGE + 0.27, about, SMALL, color=FAINT)
    axes = sheet.axes(Box(EDGE + 0.6, 1.1, WIDTH - 2 * EDGE - 0.7, HEIGHT - 1.9))
    for place, (name, (points, one)) in enumerate(zip(names, found, strict=True)):
        _draw(axes, points, one, name if len(names) > 1 else "", COLORS[place % len(COLORS)], place)
    axes.set_xlabel("mean precision", size=PLAIN)
    axes.set_ylabel("mean coverage gap", size=PLAIN)
    axes.legend(fontsize=SMALL, frameon=False)
    sheet.save(path)


def _draw(axes: Axes, points: Tensor, one: Tensor, name: str, color: str, place: int) -> None:
    gap, precision = points.unbind(1)
    ending = f", {name}" if name else ""
    axes.plot(precision, gap, color=color, marker=MARKERS[place % len(MARKERS)], label=f"threshold per image{ending}")
    label = f"one threshold for all{ending}"
    axes.scatter(one[1:], one[:1], 90, color=color, marker="X", edgecolors=INK, zorder=3, label=label)
