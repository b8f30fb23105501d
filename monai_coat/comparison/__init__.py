# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The comparison of all methods: a protocol as data, cells that are never run twice, tables and figures."""

from __future__ import annotations

from monai_coat.comparison.cells import read_cells
from monai_coat.comparison.data.comparison_data import ComparisonData
from monai_coat.comparison.data.own_maps import protocol_of_folder
from monai_coat.comparison.data.repeats import Repeat
from monai_coat.comparison.data.sorted_scores import SortedScores
from monai_coat.comparison.protocol import Group, Protocol, load_protocol
from monai_coat.comparison.results.rows import rows_of
from monai_coat.comparison.results.tables import plain_results, to_latex, to_markdown
from monai_coat.comparison.run import run_comparison, write_comparison
from monai_coat.comparison.splits import draw_split

__all__ = [
    "ComparisonData",
    "Group",
    "Protocol",
    "Repeat",
    "SortedScores",
    "draw_split",
    "load_protocol",
    "plain_results",
    "protocol_of_folder",
    "read_cells",
    "rows_of",
    "run_comparison",
    "to_latex",
    "to_markdown",
    "write_comparison",
]
