# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The plots of the page: the spread of coverage, coverage against difficulty, training losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from monai_coat.report._sheet import FAINT, INK, LINE, PLAIN, SMALL, Box, MethodStyle, Sheet, drawing, fit
from monai_coat.report.records import ImageRecord, identity, with_foreground
from monai_coat.report.table import summarize

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__: list[str] = []

Array = NDArray[np.float64]
STRIP = 2 * LINE + 0.08  # inches above each small plot for its name and numbers
GAP = 0.18  # inches below it
FIFTHS = 5


@dataclass(frozen=True)
class Shares:
    """Records of images with foreground, by method, and the level they are judged by."""

    records: Mapping[str, Sequence[ImageRecord]]
    alpha: float
    target: float

    @classmethod
    def of(cls, records: Mapping[str, Sequence[ImageRecord]], alpha: float, target: float) -> Shares:
        """Leave out images without foreground."""
        return cls({method: with_foreground(of_method, method) for method, of_method in records.items()}, alpha, target)


def bin_edges(target: float) -> Array:
    """Edges of bins of coverage, 0.05 wide or a little less; one is the target, so that no bar straddles it."""
    above = 1.0 - target
    width = max(above / math.ceil(above / 0.0501), 0.02)
    below = math.ceil(target / width - 1e-9)
    steps = np.arange(-below, math.ceil(above / width - 1e-9) + 1, dtype=np.float64)
    edges: Array = np.round(target + width * steps, 12)
    edges[0], edges[below], edges[-1] = min(edges[0], 0.0), target, max(edges[-1], 1.0)
    return edges


def group_edges(values: Array, groups: int = FIFTHS) -> Array:
    """Inner edges of groups that hold about equally many of the values; fewer groups where values repeat."""
    return np.unique(np.quantile(values, np.arange(1, groups) / groups))


def difficulties(records: Mapping[str, Sequence[ImageRecord]]) -> dict[tuple[str, int, int], float]:
    """One difficulty for each image, from the first method that knows it, so that all methods share an axis.

    It is measured on probabilities; records made from other scores do not know it.
    """
    known: dict[tuple[str, int, int], float] = {}
    for of_method in records.values():
        for record in of_method:
            if math.isfinite(record.difficulty):
                known.setdefault(identity(record), record.difficulty)
    return known


def small_plots(sheet: Sheet, box: Box, count: int) -> list[tuple[Box, Axes]]:
    """Small plots above each other, each below a strip for text; only the lowest has labels on its x axis."""
    step = (box.height + GAP) / count
    plots = []
    for index in range(count):
        strip = Box(box.left, box.top + index * step, box.width, STRIP)
        axes = sheet.axes(Box(box.left, strip.top + STRIP, box.width, step - STRIP - GAP))
        axes.tick_params(labelbottom=index == count - 1)
        plots.append((strip, axes))
    return plots


def strip_text(sheet: Sheet, strip: Box, name: str, numbers: str) -> None:
    """Name a small plot and say its numbers."""
    sheet.text(strip.left, strip.top, fit(name, strip.width, PLAIN, "bold"), PLAIN, weight="bold")
    sheet.text(strip.left, strip.top + LINE, fit(numbers, strip.width, SMALL), SMALL, color=FAINT)


def draw_histograms(sheet: Sheet, box: Box, shares: Shares, styles: Mapping[str, MethodStyle]) -> None:
    """One histogram per method, all on the same axes; a triangle marks the mean."""
    edges = bin_edges(shares.target)
    counts = {m: np.histogram([r.coverage for r in of_method], edges)[0] for m, of_method in shares.records.items()}
    top = 1.08 * max(count.max() for count in counts.values())
    for (strip, axes), (method, count) in zip(small_plots(sheet, box, len(counts)), counts.items(), strict=True):
        row = summarize(method, shares.records[method], shares.alpha)
        strip_text(
            sheet,
            strip,
            method,
            f"mean {row.marginal_coverage:.3f} · {row.share_below:.0%} below target · "
            f"median rel. size {row.relative_size_median:.2f}",
        )
        axes.bar(
            edges[:-1],
            count,
            np.diff(edges),
            align="edge",
            color=styles[method].color,
            edgecolor="white",
            linewidth=0.8,
        )
        axes.axvline(shares.target, color=INK, linewidth=1.4)
        triangle = drawing("markers", "CARETUPBASE")  # stands on the axis
        axes.plot([row.marginal_coverage], [0], marker=triangle, markersize=10, color=INK, mec="white", zorder=5)
        axes.set(xlim=(min(0.0, edges[0]), edges[-1]), ylim=(0, top), xticks=np.arange(6) / 5)
        axes.grid(False, axis="x")
        axes.set_ylabel("images", size=SMALL)
        axes.yaxis.set_major_locator(drawing("ticker", "MaxNLocator")(4, integer=True, min_n_ticks=1))
    axes.set_xlabel("coverage of an image", size=PLAIN)


def draw_difficulty(sheet: Sheet, box: Box, shares: Shares, styles: Mapping[str, MethodStyle]) -> None:
    """Coverage of each image against its difficulty, and the mean of each fifth of the images."""
    axes = sheet.axes(box)
    axes.axhline(shares.target, color=INK, linewidth=1.4, zorder=1.5)
    axes.set(ylim=(-0.03, 1.03), yticks=np.arange(6) / 5)
    axes.set_xlabel("difficulty of the image (larger is harder)", size=PLAIN)
    axes.set_ylabel("coverage of the image", size=PLAIN)
    known = difficulties(shares.records)
    if not known:
        axes.text(0.5, 0.5, "no record has a difficulty", transform=axes.transAxes, ha="center", size=PLAIN)
        axes.set_xticks([])
        return
    lines = []
    for method, of_method in shares.records.items():
        pairs = [(known[identity(r)], r.coverage) for r in of_method if identity(r) in known]
        lines.append((method, np.array(pairs)))
    edges = group_edges(lines[0][1][:, 0])
    for method, points in lines:
        axes.scatter(
            points[:, 0],
            points[:, 1],
            s=13,
            color=styles[method].color,
            marker=styles[method].marker,
            alpha=0.3,
            linewidths=0,
        )
    for method, points in lines:
        _mean_line(axes, points, edges, styles[method])
    axes.margins(x=0.03)


def _mean_line(axes: Axes, points: Array, edges: Array, style: MethodStyle) -> None:
    group = np.digitize(points[:, 0], edges)
    parts = [points[group == g] for g in np.unique(group)]
    middle = np.array([np.median(part[:, 0]) for part in parts])
    mean = np.array([part[:, 1].mean() for part in parts])
    error = np.array([part[:, 1].std(ddof=1) / math.sqrt(len(part)) if len(part) > 1 else 0.0 for part in parts])
    axes.errorbar(middle, mean, error, color="white", linewidth=4.5, elinewidth=4, zorder=3)
    axes.errorbar(
        middle,
        mean,
        error,
        color=style.color,
        linestyle=style.dashes,
        linewidth=2.2,
        elinewidth=1.6,
        marker=style.marker,
        markersize=8,
        markeredgecolor="white",
        zorder=4,
    )


def draw_losses(
    sheet: Sheet, box: Box, losses: Mapping[str, Sequence[float]], styles: Mapping[str, MethodStyle]
) -> None:
    """Training loss per epoch, one small plot per method, because the losses of methods are not of one kind."""
    longest = max(len(values) for values in losses.values())
    for (strip, axes), (method, values) in zip(small_plots(sheet, box, len(losses)), losses.items(), strict=True):
        epochs = np.arange(1, len(values) + 1)
        marker = styles[method].marker if len(values) <= 30 else ""
        axes.plot(epochs, values, color=styles[method].color, linewidth=2, marker=marker, markersize=4)
        axes.set_xlim(0.5, longest + 0.5)
        axes.set_ylabel("loss", size=SMALL)
        axes.xaxis.set_major_locator(drawing("ticker", "MaxNLocator")(6, integer=True, min_n_ticks=1))
        axes.yaxis.set_major_locator(drawing("ticker", "MaxNLocator")(4))
        strip_text(sheet, strip, method, f"first {values[0]:.4g} · last {values[-1]:.4g}")
    axes.set_xlabel("epoch (the loss of each method has its own scale)", size=PLAIN)
