# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The page of a report: plots of all test images, and pictures of some."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from monai_coat.functional import target_coverage
from monai_coat.report._plots import Shares, draw_difficulty, draw_histograms, draw_losses
from monai_coat.report._sheet import (
    FAINT,
    INK,
    LARGE,
    LINE,
    PLAIN,
    SMALL,
    TITLE,
    Box,
    MethodStyle,
    Sheet,
    drawing,
    fit,
    method_styles,
    width_of,
)
from monai_coat.report.panels import MARGIN, Panel, choose_panels, draw_panel, picture_height, text_height, title_lines
from monai_coat.report.records import ImageRecord, check_same_images

__all__ = ["Panel", "choose_panels", "draw_page"]

WIDTH, EDGE = 16.0, 0.45  # inches; 1600 pixels
INNER = WIDTH - 2 * EDGE
COLUMNS, GUTTER = 4, 0.35
TILE = (INNER - (COLUMNS - 1) * GUTTER) / COLUMNS
HEADING = 0.7  # inches from the heading of the tiles to the first
SWATCH = 0.5
ROW = 0.28  # inches from one row of the legend to the next
PLOTS_TOP = 0.75  # inches from the header to the plots: heading and the line that explains it
Entry = tuple[str, dict[str, Any]]


def draw_page(
    records: Mapping[str, Sequence[ImageRecord]],
    alpha: float,
    path: str | os.PathLike[str],
    losses: Mapping[str, Sequence[float]] | None = None,
    panels: Sequence[Panel] = (),
) -> None:
    """Draw one PNG page, 1600 pixels wide and as high as it needs.

    It has a histogram of the coverage of images for each method, with the target; coverage against difficulty, with the
    mean of each fifth of the images; the training losses, if any; and a tile for each panel. A method has one colour,
    dash and marker everywhere, in the order in which methods are first named. Images without foreground are left out of
    the plots. The same arguments give the same bytes.

    Args:
        records: records of each method, of the same images. An image whose difficulty one method does not know has that
            of the first method that does.
        alpha: tolerated mean false negative rate, a fraction in (0, 1); the target is ``1 - alpha``.
        path: file to write, replaced as a whole if it exists; its folder is made.
        losses: training loss per epoch, by method; None or empty for no such plot.
        panels: images to show, as :func:`choose_panels` chooses them.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if ``alpha`` is outside (0, 1), there is no method, the images of methods differ, none has
            foreground, or a coverage is no share.
    """
    target = target_coverage(alpha)
    check_same_images(records)
    shares = Shares.of(records, float(alpha), target)
    losses = {method: each for method, each in (losses or {}).items() if len(each)}
    styles = method_styles([*records, *losses, *(method for panel in panels for method in panel.masks)])
    legend = _legend_rows(_legend(styles, target, bool(panels)))
    rows = [panels[start : start + COLUMNS] for start in range(0, len(panels), COLUMNS)]

    plots_top = EDGE + 0.75 + ROW * len(legend) + 0.15
    plots = Box(EDGE, plots_top, INNER, PLOTS_TOP + max(4.3, 1.45 * max(len(records), len(losses))))
    tiles_top = plots.top + plots.height + 0.95
    below = HEADING + sum(_tile_height(row) for row in rows) - 0.1 if rows else 0.0
    sheet = Sheet(WIDTH, tiles_top + below - 0.1)
    _draw_header(sheet, shares, records, legend)
    _draw_plots(sheet, plots, shares, losses, styles)
    if rows:
        _draw_tiles(sheet, tiles_top, rows, styles)
    sheet.save(path)


def _draw_tiles(sheet: Sheet, top: float, rows: Sequence[Sequence[Panel]], styles: Mapping[str, MethodStyle]) -> None:
    sheet.text(EDGE, top, "Single images", LARGE, weight="bold")
    sheet.text(EDGE, top + 0.27, "lines: outlines of the label and of the prediction sets", SMALL, color=FAINT)
    top += HEADING
    for row in rows:
        for index, panel in enumerate(row):
            left = EDGE + index * (TILE + GUTTER)
            box = Box(left, top + _titles_height(row), TILE, picture_height(panel, TILE))
            draw_panel(sheet, box, panel, styles)
        top += _tile_height(row)


def _titles_height(row: Sequence[Panel]) -> float:
    return max(len(title_lines(panel, TILE)) for panel in row) * LINE + MARGIN


def _tile_height(row: Sequence[Panel]) -> float:
    return _titles_height(row) + max(picture_height(panel, TILE) + text_height(panel) for panel in row) + GUTTER


def _legend(styles: Mapping[str, MethodStyle], target: float, has_panels: bool) -> list[Entry]:
    entries: list[Entry] = [
        (
            method,
            {"color": s.color, "linestyle": s.dashes, "linewidth": 2.4, "marker": s.marker, "markersize": 7},
        )
        for method, s in styles.items()
    ]
    entries.append((f"target {target:g}", {"color": INK, "linewidth": 1.4}))
    if has_panels:
        halo = drawing("patheffects", "withStroke")(linewidth=4.2, foreground="black")
        entries.append(("label", {"color": "white", "linewidth": 2.6, "path_effects": [halo]}))
    return entries


def _legend_rows(entries: Sequence[Entry]) -> list[list[Entry]]:
    """As many entries side by side as there is room for."""
    rows: list[list[Entry]] = [[]]
    room = INNER
    for name, look in entries:
        shown = fit(name, INNER - SWATCH - 0.1, PLAIN)
        needed = _entry_width(shown)
        if rows[-1] and needed > room:
            rows.append([])
            room = INNER
        rows[-1].append((shown, look))
        room -= needed
    return rows


def _entry_width(name: str) -> float:
    return SWATCH + 0.1 + width_of(name, PLAIN) + 0.35


def _draw_header(
    sheet: Sheet, shares: Shares, records: Mapping[str, Sequence[ImageRecord]], legend: Sequence[Sequence[Entry]]
) -> None:
    method = next(iter(records))
    n, total = len(shares.records[method]), len(records[method])
    left_out = f"; {total - n} without foreground left out" if total > n else ""
    sheet.text(EDGE, EDGE - 0.1, f"Coverage of each image at alpha = {shares.alpha:g}", TITLE, weight="bold")
    explanation = (
        f"{n} image{'s' * (n != 1)} with foreground{left_out}. Coverage: share of the foreground that is in the "
        "prediction set. Relative set size: over the size of the foreground."
    )
    sheet.text(EDGE, EDGE + 0.3, explanation, PLAIN, color=FAINT)
    for row, entries in enumerate(legend):
        left, top = EDGE, EDGE + 0.68 + row * ROW
        for name, look in entries:
            sheet.swatch(left, top, SWATCH, **look)
            sheet.text(left + SWATCH + 0.1, top, name, PLAIN)
            left += _entry_width(name)


def _draw_plots(
    sheet: Sheet, box: Box, shares: Shares, losses: Mapping[str, Sequence[float]], styles: Mapping[str, MethodStyle]
) -> None:
    columns = [
        ("Spread of coverage", "bars: images; triangle: mean; line: target"),
        ("Coverage by difficulty", "dots: images; lines: means of fifths of the images, ± standard error"),
        *([("Training loss", "mean of each epoch")] if losses else []),
    ]
    axis, gap = 0.65, 0.4  # inches for the numbers beside a plot, and between columns
    width = (INNER - (len(columns) - 1) * gap) / len(columns)
    inner = [
        Box(box.left + i * (width + gap) + axis, box.top + PLOTS_TOP, width - axis, box.height - PLOTS_TOP)
        for i in range(len(columns))
    ]
    for plot, (heading, explanation) in zip(inner, columns, strict=True):
        sheet.text(plot.left - axis, box.top, heading, LARGE, weight="bold")
        sheet.text(plot.left - axis, box.top + 0.27, fit(explanation, width, SMALL), SMALL, color=FAINT)
    draw_histograms(sheet, inner[0], shares, styles)
    scatter = inner[1]
    draw_difficulty(sheet, Box(scatter.left, scatter.top, scatter.width, scatter.height), shares, styles)
    if losses:
        draw_losses(sheet, inner[2], losses, styles)
