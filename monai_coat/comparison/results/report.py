# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The report of a comparison: results, tables, figures and pages of single images, as files."""

from __future__ import annotations

import logging
from pathlib import Path

from monai_coat.comparison.data.comparison_data import ComparisonData
from monai_coat.comparison.protocol import Protocol
from monai_coat.comparison.results.figures import (
    draw_coverage_curves,
    draw_gap_against_size,
    draw_image_coverage,
    draw_losses,
    draw_temperatures,
)
from monai_coat.comparison.results.overview import summary_markdown
from monai_coat.comparison.results.pages import draw_pages
from monai_coat.comparison.results.rows import Results, Row, in_whole_groups, rows_of
from monai_coat.comparison.results.tables import read_results, write_results, write_tables
from monai_coat.comparison.results.verdict import verdict_markdown

__all__ = ["draw_figures", "write_report"]

logger = logging.getLogger(__name__)


def write_report(results: Results, data: ComparisonData) -> list[Path]:
    """Write the report of all cells.

    Args:
        results: of the cells.
        data: what was compared, and the folder to write to.

    Returns:
        The files that were written.
    """
    protocol, folder = data.protocol, data.folder
    write_results(results, folder / "results.json")
    # Tables are of the file's four decimals, so that anybody can make them from it.
    kept = read_results(folder / "results.json")
    rows, by_groups = rows_of(kept, protocol.reference), rows_of(in_whole_groups(kept), protocol.reference)
    tables = write_tables(rows, protocol, folder, data.left_out, by_groups)
    figures = draw_figures(rows, results, protocol, folder)
    pages = [_draw_curves(data), *draw_pages(data)]
    logger.info("\n%s", summary_markdown(rows, protocol.reference, protocol.default))
    logger.info("\n%s", verdict_markdown(rows, protocol.reference))
    return [folder / "results.json", *tables, *figures, *pages]


def draw_figures(rows: list[Row], results: Results, protocol: Protocol, folder: Path) -> list[Path]:
    """Draw the figures that need nothing but the results.

    Args:
        rows: the results, summarised.
        results: of the cells; figures that need what they lack are left out.
        protocol: names the methods to show.
        folder: where to draw.

    Returns:
        The files that were written.
    """
    names = ("gap_against_size", "image_coverage", "losses", "temperatures")
    size, coverage, losses, temperatures = (folder / f"{name}.png" for name in names)
    draw_gap_against_size(rows, size, protocol.shown)
    drawn = [size]
    if all("coverage_of_first_split" in result for result in results):
        draw_image_coverage(results, coverage, protocol.shown)
        drawn.append(coverage)
    learned = method_of_losses(results, protocol)
    if learned:
        draw_losses(results, losses, learned)
        drawn.append(losses)
    return [*drawn, temperatures] if draw_temperatures(results, temperatures) else drawn


def method_of_losses(results: Results, protocol: Protocol) -> str:
    """The method whose training loss is shown: a highlighted one before others; empty if none has a loss."""
    with_losses = {result["method"] for result in results if result["losses"]}
    return next((name for name in (*protocol.highlighted, *protocol.methods) if name in with_losses), "")


def _draw_curves(data: ComparisonData) -> Path:
    """The coverage curves of the pool of each data set, by the first network."""
    network, path = next(iter(data.protocol.networks)), data.folder / "curves.png"
    pools = {f"{name}, {network}": data.repeats(name, network)[0].pool for name in data.protocol.datasets}
    draw_coverage_curves(pools, path)
    return path
