# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A whole benchmark: cells, then tables and figures of them."""

from __future__ import annotations

import logging
from pathlib import Path

from monai_coat.benchmark.bench import Bench
from monai_coat.benchmark.cells import run_benchmark
from monai_coat.benchmark.figures import (
    draw_coverage_curves,
    draw_gap_against_size,
    draw_image_coverage,
    draw_losses,
    draw_temperatures,
)
from monai_coat.benchmark.overview import summary_markdown
from monai_coat.benchmark.pages import draw_pages
from monai_coat.benchmark.protocol import Protocol
from monai_coat.benchmark.rows import rows_of
from monai_coat.benchmark.tables import read_results, write_results, write_tables

__all__ = ["write_benchmark"]

FIGURES = ("gap_against_size", "losses", "image_coverage", "temperatures", "curves")

logger = logging.getLogger(__name__)


def write_benchmark(protocol: Protocol, folder: Path) -> list[Path]:
    """Run what is not done yet, and write tables and figures of everything that is.

    Args:
        protocol: what is compared.
        folder: where everything is kept: ``cells`` (one JSON each), ``segmenters`` and ``images`` (which may be removed
            to save space), ``results.json`` (all cells), ``tables.md``, ``gaps.tex`` and figures.

    Returns:
        The files of the report, with a page of test images for each data set.
    """
    results = run_benchmark(protocol, folder)
    write_results(results, folder / "results.json")
    # Tables are of the file's four decimals, so that anybody can make them from it.
    rows = rows_of(read_results(folder / "results.json"))
    write_tables(rows, protocol, folder)
    written = [folder / name for name in ("results.json", "tables.md", "gaps.tex")]
    shown = [name for name in ("CRC", "COAT", protocol.default) if name in protocol.methods]
    figures = {name: folder / f"{name}.png" for name in FIGURES}
    draw_gap_against_size(rows, figures["gap_against_size"], shown)
    draw_image_coverage(results, figures["image_coverage"], shown)
    with_losses = [name for name in protocol.methods if any(r["method"] == name and r["losses"] for r in results)]
    if with_losses:
        draw_losses(results, figures["losses"], "COAT" if "COAT" in with_losses else with_losses[0])
    draw_temperatures(results, figures["temperatures"])
    bench, network = Bench(protocol, folder), next(iter(protocol.networks))
    pools = {f"{name}, {network}": bench.rounds(name, network)[0].pool for name in protocol.datasets}
    draw_coverage_curves(pools, figures["curves"])
    pages = draw_pages(bench, folder)
    logger.info("\n%s", summary_markdown(rows, protocol.default))
    return [*written, *(path for path in figures.values() if path.is_file()), *pages]
