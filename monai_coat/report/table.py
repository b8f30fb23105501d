# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The table that compares methods: coverage, always beside what it costs."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from monai_coat.files.atomic import replacing
from monai_coat.functional import measures_of_test_set, target_coverage
from monai_coat.report.records import ImageRecord, check_same_images, predict_all_records, with_foreground

__all__ = ["MethodSummary", "class_table", "comparison_table", "save_table", "summarize", "to_csv", "to_markdown"]

TRIVIAL = "predict-all"
TITLES = {
    "marginal_coverage": "Marginal coverage → {target}",
    "coverage_gap": "Coverage gap ↓",
    "shortfall": "Shortfall ↓",
    "share_below": "Share below target ↓",
    "relative_size_mean": "Relative set size, mean ↓",
    "relative_size_median": "Relative set size, median ↓",
    "precision": "Precision ↑",
    "false_alarm": "False alarm ↓",
}
CAPTION = (
    "alpha = {alpha:g}, target coverage {target}; {n} with foreground{left_out}. "
    "→ target value, ↓ lower is better, ↑ higher is better; ± standard error; n/a: no such image. "
    "The relative set size is that of the prediction set over that of the foreground; "
    "false alarm is the share of the image that is taken where there is no foreground. "
    "Read no coverage gap alone: taking everything has a gap of {alpha:g}."
)


@dataclass(frozen=True)
class MethodSummary:
    r"""What a method covers and what it costs, over images with foreground.

    Attributes:
        method: name of the method.
        n: images with foreground.
        n_empty: images without; they enter nothing but ``false_alarm``.
        marginal_coverage: mean coverage, each image counting once.
        marginal_se: standard error of that mean; NaN for one image.
        coverage_gap: mean of :math:`|\mathrm{coverage} - (1 - \alpha)|`.
        shortfall: mean of :math:`(1 - \alpha - \mathrm{coverage})_+`.
        share_below: share of images with coverage below :math:`1 - \alpha`.
        relative_size_mean: mean of set size over foreground.
        relative_size_median: median of the same.
        precision: mean share of the set that is foreground, 1 of an empty set.
        false_alarm: mean share of the image in the set, over images without foreground; NaN if there are none.
    """

    method: str
    n: int
    n_empty: int
    marginal_coverage: float
    marginal_se: float
    coverage_gap: float
    shortfall: float
    share_below: float
    relative_size_mean: float
    relative_size_median: float
    precision: float
    false_alarm: float


def summarize(method: str, records: Sequence[ImageRecord], alpha: float) -> MethodSummary:
    """Summarize the records of one method.

    Args:
        method: name of the method.
        records: records of its test images.
        alpha: tolerated mean false negative rate, a fraction in (0, 1).

    Returns:
        The row of the table.

    Raises:
        ValueError: if ``alpha`` is outside (0, 1), no image has foreground, or a coverage is no share.

    Example:
        >>> records = [ImageRecord("a", 0.5, 4, 2, 4, 16, 0.1), ImageRecord("b", 1.0, 8, 4, 4, 16, 0.2)]
        >>> row = summarize("crc", records, alpha=0.25)
        >>> row.marginal_coverage, row.coverage_gap, row.shortfall, row.relative_size_mean
        (0.75, 0.25, 0.125, 1.5)
    """
    present = with_foreground(records, method)
    empty = [record for record in records if not record.foreground]
    coverage = np.array([record.coverage for record in present])
    sizes = [record.relative_set_size for record in present]
    measures = measures_of_test_set(coverage, [record.precision for record in present], sizes, alpha)
    n = len(present)
    return MethodSummary(
        method=method,
        n=n,
        n_empty=len(empty),
        marginal_coverage=measures.pop("coverage"),
        marginal_se=float(coverage.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan,
        **measures,
        false_alarm=float(np.mean([record.set_fraction for record in empty])) if empty else math.nan,
    )


def comparison_table(
    records: Mapping[str, Sequence[ImageRecord]], alpha: float, trivial: bool = True
) -> list[MethodSummary]:
    """Summarize several methods on one test set.

    Args:
        records: records of each method, of the same images.
        alpha: tolerated mean false negative rate, a fraction in (0, 1).
        trivial: whether to add, last, the predictor that takes every pixel, under the name "predict-all".

    Returns:
        One row per method, in the order given.

    Raises:
        ValueError: if ``alpha`` is outside (0, 1), there is no method, the images of methods differ, none has
            foreground, or a method is called "predict-all" already.
    """
    check_same_images(records)
    rows = [summarize(method, each, alpha) for method, each in records.items()]
    if trivial and TRIVIAL in records:
        raise ValueError(
            f"records must not name a method {TRIVIAL!r} when trivial is True, got {', '.join(map(repr, records))}; "
            "rename it or pass trivial=False."
        )
    if trivial:
        rows.append(summarize(TRIVIAL, predict_all_records(next(iter(records.values()))), alpha))
    return rows


def to_markdown(rows: Sequence[MethodSummary], alpha: float, statement: str = "") -> str:
    """Lay the rows out as a Markdown table with a caption that says how to read it.

    Args:
        rows: rows of one test set.
        alpha: the level they were made with.
        statement: what to say of the test set, such as a partition's ``statement``.

    Returns:
        Caption and table, and the statement below; numbers with 3 decimals.

    Raises:
        ValueError: if there are no rows or their images differ in number, or if ``alpha`` is outside (0, 1).
    """
    target = f"{target_coverage(alpha):g}"
    counts = sorted({(row.n, row.n_empty) for row in rows})
    if len(counts) != 1:
        raise ValueError(
            f"rows must be of one test set, got (n, n_empty) = {', '.join(map(str, counts)) or 'none'}; "
            "make one table for each test set."
        )
    n, n_empty = counts[0]
    left_out = f"; {_images(n_empty)} without, left out of everything but the false alarm" if n_empty else ""
    caption = CAPTION.format(alpha=float(alpha), target=target, n=_images(n), left_out=left_out)
    return laid_out(caption, {"Method": ""}, rows, target, statement)


def class_table(rows: Sequence[MethodSummary], alpha: float, statement: str = "") -> str:
    """:func:`to_markdown` for rows that are classes in place of methods; each has a number of images of its own."""
    target = f"{target_coverage(alpha):g}"
    caption = CAPTION.format(alpha=float(alpha), target=target, n="rows are of the images", left_out=" of their class")
    return laid_out(caption, {"Class": "", "Images": "n"}, rows, target, statement)


def laid_out(caption: str, first: Mapping[str, str], rows: Sequence[MethodSummary], target: str, statement: str) -> str:
    """Caption, table and statement; ``first`` are the first columns, and which attribute those after the name show."""
    header = [*first, *(title.format(target=target) for title in TITLES.values())]
    shown = [attribute for attribute in first.values() if attribute]
    cells = [[name, *(str(getattr(row, a)) for a in shown), *rest] for row in rows for name, *rest in [_cells(row)]]
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *cells]
    below = ["", statement] if statement else []
    return "\n".join([caption, "", *("| " + " | ".join(line) + " |" for line in lines), *below]) + "\n"


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _cells(row: MethodSummary) -> list[str]:
    cells = [_number(getattr(row, field)) for field in TITLES]
    cells[0] += f" ± {_number(row.marginal_se)}"
    return [" ".join(row.method.split()).replace("|", "\\|"), *cells]


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.3f}"


def to_csv(rows: Sequence[MethodSummary]) -> str:
    """Lay the rows out as CSV with full precision, one column per attribute of :class:`MethodSummary`.

    Example:
        >>> to_csv([]).split(",")[:3]
        ['method', 'n', 'n_empty']
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(MethodSummary))
    writer.writerows(astuple(row) for row in rows)
    return text.getvalue()


def save_table(
    rows: Sequence[MethodSummary], alpha: float, folder: str | os.PathLike[str], statement: str = ""
) -> None:
    """Write table.csv and table.md into a folder, which is made; files of these names are replaced as a whole.

    Args:
        rows: rows of one test set.
        alpha: the level they were made with.
        folder: where to write.
        statement: see :func:`to_markdown`.

    Raises:
        ValueError: as :func:`to_markdown`; nothing is written then.
    """
    markdown, values = to_markdown(rows, alpha, statement), to_csv(rows)
    with replacing(Path(folder) / "table.csv") as csv_path, replacing(Path(folder) / "table.md") as markdown_path:
        csv_path.write_text(values, encoding="utf-8")
        markdown_path.write_text(markdown, encoding="utf-8")
