# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The comparison of all methods: a protocol as data, cells that are never run twice, tables and figures."""

from __future__ import annotations

from monai_coat.benchmark.bench import Bench
from monai_coat.benchmark.cells import draw_split, read_cells, run_benchmark
from monai_coat.benchmark.maps import Maps, Round, SortedScores
from monai_coat.benchmark.methods import FITS, Fitted
from monai_coat.benchmark.protocol import Group, Protocol, load_protocol, protocol_of_folder
from monai_coat.benchmark.report import write_benchmark
from monai_coat.benchmark.rows import rows_of
from monai_coat.benchmark.tables import to_latex, to_markdown

__all__ = [
    "FITS",
    "Bench",
    "Fitted",
    "Group",
    "Maps",
    "Protocol",
    "Round",
    "SortedScores",
    "draw_split",
    "load_protocol",
    "protocol_of_folder",
    "read_cells",
    "rows_of",
    "run_benchmark",
    "to_latex",
    "to_markdown",
    "write_benchmark",
]
