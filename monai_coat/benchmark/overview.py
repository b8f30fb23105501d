# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What came out of a benchmark, at a glance: means over base networks, groups off target, and who won."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_coat.benchmark.rows import ENDS, Row

__all__ = ["overview_markdown", "summary_markdown"]


def overview_markdown(rows: Sequence[Row], default: str) -> str:
    """Methods by data sets and levels, means over networks; then one line per group, and how often ``default`` won."""
    columns = list(dict.fromkeys((row.dataset, row.alpha) for row in rows))
    lines = ["Coverage gap / precision, means over base networks:", ""]
    lines.append("| method | " + " | ".join(f"{name} {alpha:g}" for name, alpha in columns) + " | groups off target |")
    lines.append("|---|" + "---|" * (len(columns) + 1))
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        cells = [_mean_pair([row for row in own if (row.dataset, row.alpha) == column]) for column in columns]
        lines.append("| " + " | ".join([method, *cells, _off_target(own)]) + " |")
    note = "*Groups off target*: those whose mean coverage is more than two standard errors away from 1 - alpha."
    return "\n".join([*lines, "", note, "", summary_markdown(rows, default), _counts(rows, default), ""])


def _mean_pair(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    gap, precision = (np.mean([row.mean[name] for row in rows]) for name in ("coverage_gap", "precision"))
    return f"{gap:.3f} / {precision:.2f}"


def _off_target(rows: Sequence[Row]) -> str:
    off = [row.standard_errors_off for row in rows]
    return f"{sum(o < -2 for o in off)} below, {sum(o > 2 for o in off)} above"


def summary_markdown(rows: Sequence[Row], default: str) -> str:
    """One line per group: CRC, the default, and the method with the least gap among those as precise as CRC."""
    lines = [f"| group | CRC: gap / precision | {default}: gap / precision | ratio | least gap as precise as CRC |"]
    lines.append("|---|---|---|---|---|")
    for group, methods in _by_group(rows).items():
        crc, ours, best = methods["CRC"], methods[default], _best(methods, as_precise=True)
        ratio = ours.mean["coverage_gap"] / crc.mean["coverage_gap"]
        cells = [f"{group[0]}, {group[1]}, {group[2]:g}", _pair(crc), _pair(ours), f"{ratio:.2f}"]
        lines.append("| " + " | ".join([*cells, f"{best.method}, {_pair(best)}"]) + " |")
    return "\n".join([*lines, ""])


def _counts(rows: Sequence[Row], default: str) -> str:
    groups = list(_by_group(rows).values())
    smaller = sum(m[default].mean["coverage_gap"] < m["CRC"].mean["coverage_gap"] for m in groups)
    precise = sum(_as_precise(m[default], m["CRC"]) for m in groups)
    fair, least = (sum(_best(m, as_precise).method == default for m in groups) for as_precise in (True, False))
    return (
        f"Of {len(groups)} groups, {default} has a smaller gap than CRC in {smaller}, is as precise in {precise}, has "
        f"the least gap of all methods as precise as CRC in {fair}, and of all methods in {least}."
    )


def _by_group(rows: Sequence[Row]) -> dict[tuple[str, str, float], dict[str, Row]]:
    groups: dict[tuple[str, str, float], dict[str, Row]] = {}
    for row in rows:
        groups.setdefault(row.group, {})[row.method] = row
    return groups


def _best(methods: dict[str, Row], as_precise: bool) -> Row:
    fair = [row for row in methods.values() if not as_precise or _as_precise(row, methods["CRC"])]
    return min((row for row in fair if row.method not in ENDS), key=lambda row: row.mean["coverage_gap"])


def _as_precise(row: Row, crc: Row) -> bool:
    # What three decimals cannot tell apart is equal.
    return row.mean["precision"] >= crc.mean["precision"] - 5e-4


def _pair(row: Row) -> str:
    return f"{row.mean['coverage_gap']:.3f} / {row.mean['precision']:.3f}"
