# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A benchmark's results as rows: one per method and group, with its difference to CRC."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["ENDS", "Results", "Row", "rows_of", "student_quantile"]

Results = Sequence[Mapping[str, Any]]

ENDS = ("everything", "oracle")
"""Methods that mark the ends of the scale: no promise of a use, or knowledge of the mask."""


@dataclass(frozen=True)
class Row:
    """One method in one group: mean and standard deviation over splits.

    Attributes:
        dataset, network, alpha, method: the cell.
        mean, sd: of each measure, by name.
        difference: mean over splits of the coverage gap minus CRC's on the same split.
        half_width: of the 95 % interval of that mean, by Student's t. It speaks of other draws of calibration and test
            images from the same pool, with the trained networks as they are.
        published: the paper's coverage gap, mean and SD, where it is public.
    """

    dataset: str
    network: str
    alpha: float
    method: str
    mean: Mapping[str, float]
    sd: Mapping[str, float]
    difference: float
    half_width: float
    published: tuple[float, float | None] | None

    @property
    def group(self) -> tuple[str, str, float]:
        """Data set, network and level."""
        return self.dataset, self.network, self.alpha

    @property
    def standard_errors_off(self) -> float:
        """How many standard errors of the mean the coverage is away from its target."""
        error = self.sd["coverage"] / math.sqrt(self.mean["splits"])
        off = self.mean["coverage"] - (1 - self.alpha)
        return off / error if error > 0 else math.copysign(math.inf, off) if off else 0.0


MEASURES = ("coverage", "coverage_gap", "precision", "stretch_median", "shortfall", "share_below", "set_fraction")


def rows_of(results: Results, reference: str = "CRC") -> list[Row]:
    """Summarise cells, in their order.

    Raises:
        ValueError: if a group's cells were run on other splits than the reference's.
    """
    published = json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))["rows"]
    references = {_group(r): r["splits"] for r in results if r["method"] == reference}
    return [_row(result, references.get(_group(result)), published) for result in results]


def _row(result: Mapping[str, Any], reference: Any, published: Sequence[Mapping[str, Any]]) -> Row:
    splits = result["splits"]
    columns = {name: np.array([split[name] for split in splits]) for name in MEASURES}
    difference, half_width = math.nan, math.nan
    if reference is not None:
        if [split["hash"] for split in splits] != [split["hash"] for split in reference]:
            raise ValueError(f"splits must be those of CRC in every cell of a group, got others for {_group(result)}.")
        paired = columns["coverage_gap"] - np.array([split["coverage_gap"] for split in reference])
        difference = float(paired.mean())
        half_width = student_quantile(len(paired) - 1) * float(paired.std(ddof=1)) / math.sqrt(len(paired))
    found = [p for p in published if _group(p) == _group(result) and p["method"] == result["method"]]
    mean = {name: float(values.mean()) for name, values in columns.items()} | {"splits": float(len(splits))}
    sd = {name: float(values.std(ddof=1)) for name, values in columns.items()}
    gap = tuple(found[0]["coverage_gap"]) if found else None
    return Row(*_group(result), result["method"], mean, sd, difference, half_width, gap)


def _group(cell: Mapping[str, Any]) -> tuple[str, str, float]:
    return cell["dataset"], cell["network"], cell["alpha"]


def student_quantile(degrees: int) -> float:
    """The 97.5 % quantile of Student's t, by the first terms of its expansion about the normal; from 4 degrees on."""
    z = 1.959964
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees + second / degrees**2 + third / degrees**3
