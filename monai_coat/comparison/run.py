# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A whole comparison: cells, then tables and figures of them."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from monai_coat.comparison.cell_result import repeats_of, result_of_cell
from monai_coat.comparison.cells import ComparisonCell, cells_of, finished_result, read_cells
from monai_coat.comparison.data.comparison_data import ComparisonData
from monai_coat.comparison.protocol import Protocol
from monai_coat.comparison.results.report import write_report
from monai_coat.files import write_json
from monai_coat.files.progress import TimeLeft

__all__ = ["run_comparison", "write_comparison"]

logger = logging.getLogger(__name__)

MAPS = "maps"
"""The kind of the step that makes the maps of a group, beside the methods."""


def write_comparison(protocol: Protocol, folder: Path) -> list[Path]:
    """Run what is not done yet, and write tables and figures of everything that is.

    Args:
        protocol: what is compared.
        folder: where everything is kept: ``cells`` (one JSON each), ``segmenters``, ``images`` and ``sketches`` (which
            may be removed to save space), ``results.json`` (all cells), ``tables.md``, ``gaps.tex`` and figures.

    Returns:
        The files of the report, with a page of test images for each data set.

    Raises:
        ValueError: if the protocol has no data set or methods that cannot be compared on them, there are too few
            images, or a file cannot be read.
    """
    data = ComparisonData(protocol, folder)
    if not protocol.datasets:
        raise ValueError(
            f"protocol must have data sets, got none in {protocol.name!r}; give your own maps, by --probs and --labels."
        )
    data.check_methods()
    data.leave_out_rare_classes()
    return write_report(run_comparison(data), data)


def run_comparison(data: ComparisonData) -> list[dict[str, Any]]:
    """Run what is not done yet, and return the results of all cells.

    Each finished cell is a file, written whole: a run that is killed and started again goes on where it was. A cell
    whose files, settings or version changed is run again.

    Args:
        data: what is compared, and where everything is kept.
    """
    data.check_methods()
    protocol, cells = data.protocol, cells_of(data.protocol)
    waiting = [cell for cell in cells if finished_result(cell, data) is None]
    done = len(cells) - len(waiting)
    logger.info("%s: %d of %d cells are done, %d to go", protocol.name, done, len(cells), len(waiting))
    time_left = TimeLeft([cell.method for cell in waiting] + [MAPS] * len({_maps_key(cell, data) for cell in waiting}))
    seen = set()
    for number, cell in enumerate(waiting, 1):
        started = time.perf_counter()
        repeats_of(cell, data)
        if _maps_key(cell, data) not in seen:
            seen.add(_maps_key(cell, data))
            time_left.finish(MAPS, time.perf_counter() - started)
        started = time.perf_counter()
        result = result_of_cell(cell, data)
        _check_unchanged(cell, data)
        write_json(cell.path(data.folder), result)
        seconds = time.perf_counter() - started
        time_left.finish(cell.method, seconds)
        gap, place = np.mean([split["coverage_gap"] for split in result["splits"]]), f"{number} of {len(waiting)}"
        logger.info(
            "cell %s: %s %s, gap %.3f, %.1f s; %s left", place, cell.group, cell.method, gap, seconds, time_left
        )
    return read_cells(data)


def _check_unchanged(cell: ComparisonCell, data: ComparisonData) -> None:
    """Refuse files that changed while a cell was run, of volumes, which are read again and again."""
    own = data.own_folder(cell.group.dataset)
    if own is not None and own.has_volumes:
        own.check_unchanged()


def _maps_key(cell: ComparisonCell, data: ComparisonData) -> tuple[str, str, bool]:
    return cell.group.dataset, cell.group.network, data.protocol.settings_of(cell.method).cross_fit
