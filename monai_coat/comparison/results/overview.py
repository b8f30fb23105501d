# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The results of a comparison at a glance: means over networks, groups off target, and who won."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_coat.comparison.results.rows import Row

__all__ = ["overview_markdown", "summary_markdown"]


def overview_markdown(rows: Sequence[Row], reference: str, default: str) -> str:
    """The overview for people, in Markdown.

    Args:
        rows: of all groups.
        reference: the method that others are compared with.
        default: the method that is recommended.

    Returns:
        A table of methods by data sets and levels, means over networks; the summary of :func:`summary_markdown`; and in
        how many groups the default is better than others.
    """
    columns = list(dict.fromkeys((row.dataset, row.alpha) for row in rows))
    lines = ["Coverage gap / precision, means over base networks:", ""]
    lines.append("| method | " + " | ".join(f"{name} {alpha:g}" for name, alpha in columns) + " | groups off target |")
    lines.append("|---|" + "---|" * (len(columns) + 1))
    for method in dict.fromkeys(row.method for row in rows):
        of_method = [row for row in rows if row.method == method]
        cells = [_mean_pair([row for row in of_method if (row.dataset, row.alpha) == column]) for column in columns]
        lines.append("| " + " | ".join([method, *cells, _off_target(of_method)]) + " |")
    note = "*Groups off target*: those whose mean coverage is more than two standard errors away from 1 - alpha."
    summary = summary_markdown(rows, reference, default)
    return "\n".join([*lines, "", note, "", summary, _wins_of_default(rows, reference, default), ""])


def _mean_pair(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    gap, precision = (np.mean([row.mean[name] for row in rows]) for name in ("coverage_gap", "precision"))
    return f"{gap:.3f} / {precision:.2f}"


def _off_target(rows: Sequence[Row]) -> str:
    errors = [row.standard_errors_off for row in rows]
    return f"{sum(error < -2 for error in errors)} below, {sum(error > 2 for error in errors)} above"


def summary_markdown(rows: Sequence[Row], reference: str, default: str) -> str:
    """A table with a line per group: reference, default, and the least gap among methods as precise as the reference.

    Args:
        rows: of all groups.
        reference: the method that others are compared with.
        default: the method that is recommended.
    """
    names = f"{reference}: gap / precision | {default}: gap / precision"
    lines = [f"| group | {names} | ratio | least gap as precise as {reference} |", "|---|---|---|---|---|"]
    for group, methods in _by_group(rows).items():
        best = _least_gap([row for row in methods.values() if _as_precise(row, methods[reference])])
        ratio = methods[default].mean["coverage_gap"] / methods[reference].mean["coverage_gap"]
        cells = [f"{group[0]}, {group[1]}, {group[2]:g}", _pair(methods[reference]), _pair(methods[default])]
        lines.append("| " + " | ".join([*cells, f"{ratio:.2f}", f"{best.method}, {_pair(best)}"]) + " |")
    return "\n".join([*lines, ""])


def _wins_of_default(rows: Sequence[Row], reference: str, default: str) -> str:
    """A sentence that says in how many groups the default is better than others."""
    groups = list(_by_group(rows).values())
    smaller = sum(g[default].mean["coverage_gap"] < g[reference].mean["coverage_gap"] for g in groups)
    precise = sum(_as_precise(g[default], g[reference]) for g in groups)
    least_of_precise = sum(
        _least_gap([row for row in g.values() if _as_precise(row, g[reference])]).method == default for g in groups
    )
    least_of_all = sum(_least_gap(list(g.values())).method == default for g in groups)
    return (
        f"Of {len(groups)} groups, {default} has a smaller gap than {reference} in {smaller}, is as precise in "
        f"{precise}, has the least gap of all methods as precise as {reference} in {least_of_precise}, and of all "
        f"methods in {least_of_all}."
    )


def _by_group(rows: Sequence[Row]) -> dict[tuple[str, str, float], dict[str, Row]]:
    groups: dict[tuple[str, str, float], dict[str, Row]] = {}
    for row in rows:
        groups.setdefault(row.group, {})[row.method] = row
    return groups


def _least_gap(rows: Sequence[Row]) -> Row:
    """The row of least gap among methods that can be chosen."""
    return min((row for row in rows if not row.is_bound), key=lambda row: row.mean["coverage_gap"])


def _as_precise(row: Row, reference: Row) -> bool:
    # What three decimals cannot tell apart is equal.
    return row.mean["precision"] >= reference.mean["precision"] - 5e-4


def _pair(row: Row) -> str:
    return f"{row.mean['coverage_gap']:.3f} / {row.mean['precision']:.3f}"
