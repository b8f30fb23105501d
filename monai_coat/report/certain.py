# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is called certain on a test set: its false positives, as promised and without the cap."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from monai_coat.calibration import CalibrationResult, FalsePositiveRatio, check_calibration_fits, load_calibration

__all__ = ["CertainSummary", "certain_to_csv", "certain_to_markdown", "load_certain", "summarize_certain"]

logger = logging.getLogger(__name__)

CAPTION = (
    "What is called certain: false positives in sizes of the foreground, of images with foreground and background. "
    "Promised is that the ratio capped at {cap} is at most alpha on average over new images; the mean of one test set "
    "may come out a little above. The ratio itself has no bound: a tiny object with a false blob beside it outweighs "
    "all other images."
)
HEADER = (
    "Certain, by method",
    "alpha",
    "Mean, capped at {cap} (promised)",
    "Mean, uncapped",
    "Largest",
    "Share of images above {cap}",
    "Images",
)


@dataclass(frozen=True)
class CertainSummary:
    """The false positives of what a method calls certain, in sizes of the foreground, over a test set.

    Attributes:
        method: name of the method.
        alpha: promised bound of the mean of the capped ratio.
        n: images that count, those with foreground and background.
        capped_mean: mean of the ratio capped at 1, which is what was calibrated.
        mean: mean of the ratio itself, about which nothing is promised.
        largest: the largest ratio.
        share_above_cap: share of images whose ratio is above 1.
    """

    method: str
    alpha: float
    n: int
    capped_mean: float
    mean: float
    largest: float
    share_above_cap: float


def load_certain(folder: str | os.PathLike[str], methods: Iterable[str]) -> dict[str, CalibrationResult]:
    """Load the calibrations of what is certain, of those methods that have one.

    Args:
        folder: folder of models, with ``calibration_<method>.json`` and perhaps ``certain_<method>.json``.
        methods: names of methods.

    Returns:
        Calibrations of the false positive ratio by method; one of another risk is left out, and the log says so.

    Raises:
        ValueError: if a calibration is damaged, or not of the pipeline that the method's prediction set is of.
    """
    certain = {}
    for method in methods:
        path = Path(folder) / f"certain_{method}.json"
        if not path.is_file():
            continue
        result = load_calibration(path)
        if result.controls != FalsePositiveRatio.name:
            logger.info("%s is of %s and is not reported", path.name, result.controls)
            continue
        possible = load_calibration(path.with_name(f"calibration_{method}.json"))
        check_calibration_fits(result, classes=len(possible.cutoff), identity=possible.identity)
        certain[method] = result
    return certain


def summarize_certain(method: str, alpha: float, ratios: Iterable[float]) -> CertainSummary | None:
    """Summarize the false positive ratios of one method and class.

    Args:
        method: name of the method.
        alpha: promised bound of the mean of the capped ratio.
        ratios: uncapped :func:`~monai_coat.functional.false_positive_ratio` of each test image; NaN does not count.

    Returns:
        The row of the table, or None if no image counts.

    Example:
        >>> summarize_certain("crc", 0.5, [0.0, 3.0, float("nan")])
        CertainSummary(method='crc', alpha=0.5, n=2, capped_mean=0.5, mean=1.5, largest=3.0, share_above_cap=0.5)
    """
    values = np.array(list(ratios), dtype=float)
    values = values[~np.isnan(values)]
    if not values.size:
        return None
    cap = FalsePositiveRatio.cap
    means = float(np.minimum(values, cap).mean()), float(values.mean())
    return CertainSummary(method, alpha, values.size, *means, float(values.max()), float((values > cap).mean()))


def certain_to_markdown(rows: Sequence[CertainSummary]) -> str:
    """Lay the rows out as a Markdown table with a caption that says what of it is promised; empty without rows."""
    if not rows:
        return ""
    cap = FalsePositiveRatio.cap
    lines = [[title.format(cap=cap) for title in HEADER], ["---", *["---:"] * (len(HEADER) - 1)]]
    for row in rows:
        numbers = (row.capped_mean, row.mean, row.largest, row.share_above_cap)
        lines.append([row.method, f"{row.alpha:g}", *(f"{number:.3f}" for number in numbers), str(row.n)])
    return "\n".join([CAPTION.format(cap=cap), "", *("| " + " | ".join(line) + " |" for line in lines)])


def certain_to_csv(rows: Sequence[CertainSummary]) -> str:
    """Lay the rows out as CSV with full precision, one column per attribute of :class:`CertainSummary`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(CertainSummary))
    writer.writerows(astuple(row) for row in rows)
    return text.getvalue()
