# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The cells of a comparison: one method in one group over all splits, one JSON file each, never run twice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import monai_coat
from monai_coat.comparison.data.comparison_data import ComparisonData
from monai_coat.comparison.protocol import Group, Protocol, digest_of
from monai_coat.files import read_json

__all__ = ["ComparisonCell", "cells_of", "finished_result", "read_cells"]


@dataclass(frozen=True)
class ComparisonCell:
    """A method in a group, and where its result is kept."""

    group: Group
    method: str

    def path(self, folder: Path) -> Path:
        """The file of the cell's result."""
        safe = "".join(letter if letter.isalnum() or letter in "-+." else "_" for letter in self.method)
        return folder / "cells" / str(self.group) / f"{safe}.json"

    def digest(self, data: ComparisonData) -> str:
        """A digest that changes with anything that the cell's result depends on.

        That is: the files of the data set and their contents, the settings of segmenter, method, partition and splits,
        this package's version, and the code of a method that is not of this package.
        """
        protocol, group = data.protocol, self.group
        drawn = (protocol.splits, protocol.group_splits, protocol.repeats)
        settings = (protocol.image_size, protocol.fractions, protocol.seed, *drawn)
        training = (protocol.batch_size, protocol.learning_rate, protocol.study)
        dataset = (protocol.datasets[group.dataset], data.digest(group.dataset))
        method = (self.method, protocol.methods[self.method], data.foreign_code(self.method))
        parts = (dataset, protocol.networks[group.network], group.alpha, method)
        return digest_of((parts, settings, training, monai_coat.__version__))


def cells_of(protocol: Protocol) -> list[ComparisonCell]:
    """All cells, group by group."""
    return [ComparisonCell(group, method) for group in protocol.groups() for method in protocol.methods]


def read_cells(data: ComparisonData) -> list[dict[str, Any]]:
    """Results of the cells that are done, in the order of the protocol."""
    results = (finished_result(cell, data) for cell in cells_of(data.protocol))
    return [result for result in results if result is not None]


def finished_result(cell: ComparisonCell, data: ComparisonData) -> dict[str, Any] | None:
    """The result of a cell, or None if it was not run, or run on anything else than what is there now.

    Raises:
        ValueError: if the cell's file is no JSON object.
    """
    path = cell.path(data.folder)
    if not path.is_file():
        return None
    result = read_json(path, "a finished cell", "remove it to have it run again")
    return result if result.get("digest") == cell.digest(data) else None
