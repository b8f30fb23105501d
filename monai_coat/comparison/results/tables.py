# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Tables of the results of a comparison, for people (Markdown) and for papers (LaTeX)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_coat.comparison.protocol import Protocol
from monai_coat.comparison.results.overview import overview_markdown
from monai_coat.comparison.results.rows import Results, Row, rows_of
from monai_coat.comparison.results.verdict import verdict_markdown
from monai_coat.files import replacing
from monai_coat.files.json import parse_json

__all__ = [
    "plain_results",
    "read_results",
    "report_markdown",
    "to_latex",
    "to_markdown",
    "write_results",
    "write_tables",
]

COLUMNS = (
    "method",
    "coverage",
    "coverage gap",
    "gap minus {reference}'s",
    "precision",
    "relative set size: median (mean)",
    "taken whole",
    "shortfall",
    "published gap",
)


SPLITS = ("splits", "group_splits")


def to_markdown(rows: Sequence[Row], reference: str) -> str:
    """A table per group, with all methods in it; the paper's numbers stand beside ours, where they are public.

    Args:
        rows: of any number of groups.
        reference: the method that gaps are compared with.
    """
    parts = []
    head = "| " + " | ".join(COLUMNS).format(reference=reference) + " |"
    for group in dict.fromkeys(row.group for row in rows):
        dataset, network, alpha = group
        parts += [f"### {dataset}, {network}, alpha {alpha:g}", ""]
        parts += [head, "|" + "---|" * len(COLUMNS)]
        parts += [_line(row) for row in rows if row.group == group] + [""]
    return "\n".join(parts)


def _line(row: Row) -> str:
    published = "" if row.published is None else _mean_sd(*row.published)
    difference = "" if math.isnan(row.difference) else f"{row.difference:+.3f} ± {row.half_width:.3f}"
    cells = [row.method, *(_mean_sd(row.mean[name], row.sd[name]) for name in ("coverage", "coverage_gap"))]
    size, whole = f"{row.mean['relative_size_median']:.2f}", ""
    if "share_whole" in row.mean:
        size, whole = f"{size} ({row.mean['relative_size_mean']:.2f})", f"{row.mean['share_whole']:.1%}"
    cells += [difference, f"{row.mean['precision']:.3f}", size, whole]
    return "| " + " | ".join([*cells, f"{row.mean['shortfall']:.3f}", published]) + " |"


def _mean_sd(mean: float, sd: float | None) -> str:
    return f"{mean:.3f}" if sd is None else f"{mean:.3f} ({sd:.3f})"


def to_latex(rows: Sequence[Row]) -> str:
    r"""A ``tabular`` of coverage gaps, mean (SD), with one line per method and one column per group."""
    groups = list(dict.fromkeys(row.group for row in rows))
    cells = {(row.method, row.group): _mean_sd(row.mean["coverage_gap"], row.sd["coverage_gap"]) for row in rows}
    lines = [r"\begin{tabular}{l" + "c" * len(groups) + "}", r"\toprule"]
    for level in range(3):
        names = [f"$\\alpha = {group[2]:g}$" if level == 2 else str(group[level]) for group in groups]
        lines.append("Method & " + " & ".join(names) + r" \\" if level == 2 else " & " + " & ".join(names) + r" \\")
    lines.append(r"\midrule")
    for method in dict.fromkeys(row.method for row in rows):
        lines.append(f"{method} & " + " & ".join(cells.get((method, group), "") for group in groups) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def write_results(results: Results, path: Path) -> None:
    """Write all cells to one file, one line each, splits as columns of four decimals, and without single images."""
    lines = []
    for result in results:
        cell = {key: value for key, value in result.items() if key not in ("coverage_of_first_split", *SPLITS)}
        cell |= {key: _columns_of_rows(result[key]) for key in SPLITS if result.get(key)}
        lines.append(json.dumps(cell, separators=(",", ":")))
    with replacing(path) as temporary:
        temporary.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def read_results(path: Path) -> list[dict[str, Any]]:
    """The cells of :func:`write_results`, splits as rows again."""
    cells: list[dict[str, Any]] = parse_json(path.read_text(encoding="utf-8"))
    return [cell | {key: _rows_of_columns(cell[key]) for key in SPLITS if key in cell} for cell in cells]


def plain_results(folder: Path, protocol: Protocol) -> list[dict[str, Any]]:
    """The rows of the tables as plain values: means over splits, and the standard deviation of the coverage gap."""
    rows = rows_of(read_results(folder / "results.json"), protocol.reference)
    return [_plain(row) for row in rows]


def _plain(row: Row) -> dict[str, Any]:
    place = {"dataset": row.dataset, "network": row.network, "alpha": row.alpha, "method": row.method}
    return place | dict(row.mean) | {"coverage_gap_sd": row.sd["coverage_gap"]}


def _columns_of_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [_short(row[name]) for row in rows] for name in rows[0]}


def _rows_of_columns(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def report_markdown(
    rows: Sequence[Row],
    protocol: Protocol,
    left_out: Mapping[str, str] | None = None,
    by_groups: Sequence[Row] = (),
) -> str:
    """The report for people: overview, summary of each group, and a table for each.

    Args:
        rows: of all groups.
        protocol: what was compared.
        left_out: why data sets are not in the tables, by name.
        by_groups: rows of splits in whole groups, which follow.
    """
    title = f"# Comparison of methods: {protocol.name}\n\nMean (SD) over {protocol.splits} splits.\n"
    notes = [f"*{name}* is left out: {why}\n" for name, why in (left_out or {}).items()]
    parts = [title, *notes, *_overview_and_tables(rows, protocol)]
    if by_groups:
        parts += ["## Calibration and test images in whole groups, such as videos\n"]
        parts += [f"Mean (SD) over {protocol.group_splits} splits.\n", *_overview_and_tables(by_groups, protocol)]
    return "\n".join(parts)


def _overview_and_tables(rows: Sequence[Row], protocol: Protocol) -> list[str]:
    reference = protocol.reference
    return [
        verdict_markdown(rows, reference),
        overview_markdown(rows, reference, protocol.default),
        to_markdown(rows, reference),
    ]


def write_tables(
    rows: Sequence[Row],
    protocol: Protocol,
    folder: Path,
    left_out: Mapping[str, str] | None = None,
    by_groups: Sequence[Row] = (),
) -> list[Path]:
    """Write ``tables.md`` and ``gaps.tex``, see :func:`report_markdown`; returns their paths."""
    contents = {"tables.md": report_markdown(rows, protocol, left_out, by_groups), "gaps.tex": to_latex(rows)}
    for name, content in contents.items():
        with replacing(folder / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return [folder / name for name in contents]
