# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Results of a comparison as rows: one per method and group, with its difference to the reference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.utils.module import optional_import
from numpy.typing import NDArray

from monai_coat.files import read_json
from monai_coat.functional import target_coverage
from monai_coat.scorers import METHODS
from monai_coat.scorers.methods import command_of

__all__ = ["Results", "Row", "in_whole_groups", "rows_of"]

stats, _ = optional_import(
    "scipy.stats",
    descriptor="SciPy must be installed for intervals of differences; run pip install 'monai_coat[methods]' ({}).",
)

Results = Sequence[Mapping[str, Any]]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Row:
    """One method in one group: mean and standard deviation over splits.

    Attributes:
        dataset, network, alpha, method: the cell.
        mean, sd: of each measure, by name.
        draws: number of independent draws: of splits, or of pairs of them that are one draw taken both ways round.
        coverage_error: standard error of the mean coverage, over draws.
        difference: mean over splits of the coverage gap minus that of the reference on the same split.
        half_width: half the width of the 95 % interval of that mean, by Student's t over draws. It speaks of other
            draws of calibration and test images from the same pool, with the trained networks as they are.
        published: the paper's coverage gap, mean and SD, where it is public.
        is_bound: whether the method is an end of the scale and no choice, see :class:`monai_coat.scorers.MethodRow`.
        command: what the command ``fit`` calls the method; empty if it has it not, or not with these settings.
    """

    dataset: str
    network: str
    alpha: float
    method: str
    mean: Mapping[str, float]
    sd: Mapping[str, float]
    draws: int
    coverage_error: float
    difference: float
    half_width: float
    published: tuple[float, float | None] | None
    is_bound: bool
    command: str = ""

    @property
    def group(self) -> tuple[str, str, float]:
        """Data set, network and level."""
        return self.dataset, self.network, self.alpha

    @property
    def standard_errors_off(self) -> float:
        """How many standard errors of the mean the coverage is away from its target."""
        error = self.coverage_error
        off = self.mean["coverage"] - target_coverage(self.alpha)
        return off / error if error > 0 else math.copysign(math.inf, off) if off else 0.0


MEASURES = (
    "coverage",
    "coverage_gap",
    "precision",
    "relative_size_median",
    "relative_size_mean",
    "shortfall",
    "share_below",
    "share_whole",
    "set_fraction",
)


def rows_of(results: Results, reference: str) -> list[Row]:
    """Summarise cells, in their order.

    Args:
        results: cells, as :func:`~monai_coat.comparison.read_cells` returns them.
        reference: the method that each gap is compared with.

    Raises:
        ValueError: if a group's cells were run on other splits than the reference's.
    """
    published = read_json(Path(__file__).with_name("published.json"), "published results", "install again")["rows"]
    published_gaps = {(*_group(row), row["method"]): tuple(row["coverage_gap"]) for row in published}
    references = {_group(result): result for result in results if result["method"] == reference}
    return [_row(result, references.get(_group(result)), published_gaps) for result in results]


def in_whole_groups(results: Results) -> Results:
    """The cells with the splits in whole groups in place of those by image; without cells that have none."""
    of_groups = [result for result in results if result.get("group_splits")]
    return [{**result, "splits": result["group_splits"], "both_ways": True} for result in of_groups]


def _row(result: Mapping[str, Any], reference: Mapping[str, Any] | None, published: Mapping[Any, Any]) -> Row:
    known = [name for name in MEASURES if name in result["splits"][0]]  # older results have not all of them
    columns = {name: np.array([split[name] for split in result["splits"]]) for name in known}
    coverage = _draws(columns["coverage"], result)
    difference, half_width = (math.nan, math.nan) if reference is None else _paired_difference(result, reference)
    fit = result["settings"]["fit"]
    return Row(
        *_group(result),
        method=result["method"],
        mean={name: float(values.mean()) for name, values in columns.items()}
        | {"splits": float(len(result["splits"]))},
        sd={name: float(values.std(ddof=1)) for name, values in columns.items()},
        draws=len(coverage),
        coverage_error=float(coverage.std(ddof=1)) / math.sqrt(len(coverage)),
        difference=difference,
        half_width=half_width,
        published=published.get((*_group(result), result["method"])),
        is_bound=fit in METHODS and METHODS[fit].is_bound,
        command=command_of(result["settings"]),
    )


def _paired_difference(result: Mapping[str, Any], reference: Mapping[str, Any]) -> tuple[float, float]:
    """Mean difference of the gaps of two cells, split by split, and half the width of its interval."""
    if [split["hash"] for split in result["splits"]] != [split["hash"] for split in reference["splits"]]:
        raise ValueError(
            f"splits must be those of {reference['method']} in every cell of a group, got others for {_group(result)}; "
            "remove the cells of the group to have them run again."
        )
    paired = _draws(_gaps(result) - _gaps(reference), result)
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(paired) - 1))
    return float(paired.mean()), quantile * float(paired.std(ddof=1)) / math.sqrt(len(paired))


def _draws(values: NDArray[np.float64], result: Mapping[str, Any]) -> NDArray[np.float64]:
    """Values of independent draws: where each was taken both ways round, the mean of the two."""
    return values.reshape(-1, 2).mean(1) if result.get("both_ways") else values


def _gaps(result: Mapping[str, Any]) -> NDArray[np.float64]:
    return np.array([split["coverage_gap"] for split in result["splits"]])


def _group(cell: Mapping[str, Any]) -> tuple[str, str, float]:
    return cell["dataset"], cell["network"], cell["alpha"]
