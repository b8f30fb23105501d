# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Tables of a benchmark's results, for people (Markdown) and for papers (LaTeX)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_coat.benchmark.protocol import Protocol
from monai_coat.data._atomic import replacing

__all__ = ["Row", "rows_of", "summary_markdown", "to_latex", "to_markdown", "write_results", "write_tables"]

Results = Sequence[Mapping[str, Any]]


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
        return off / error if error > 0 else math.inf if off else 0.0


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


HEAD = "| method | coverage | coverage gap | gap minus CRC's | precision | stretch | shortfall | published gap |"


def to_markdown(rows: Sequence[Row]) -> str:
    """One table per group, all methods in it; the paper's numbers beside, where they are public."""
    parts = []
    for group in dict.fromkeys(row.group for row in rows):
        dataset, network, alpha = group
        parts += [f"### {dataset}, {network}, alpha {alpha:g}", ""]
        parts += [HEAD]
        parts += ["|---|---|---|---|---|---|---|---|"]
        parts += [_line(row) for row in rows if row.group == group] + [""]
    return "\n".join(parts)


def _line(row: Row) -> str:
    published = "" if row.published is None else _mean_sd(*row.published)
    difference = "" if math.isnan(row.difference) else f"{row.difference:+.3f} ± {row.half_width:.3f}"
    cells = [row.method, *(_mean_sd(row.mean[name], row.sd[name]) for name in ("coverage", "coverage_gap"))]
    cells += [difference, f"{row.mean['precision']:.3f}", f"{row.mean['stretch_median']:.2f}"]
    return "| " + " | ".join([*cells, f"{row.mean['shortfall']:.3f}", published]) + " |"


def _mean_sd(mean: float, sd: float | None) -> str:
    return f"{mean:.3f}" if sd is None else f"{mean:.3f} ({sd:.3f})"


def summary_markdown(rows: Sequence[Row], default: str) -> str:
    """One line per group: CRC, the default, and the method with the least gap among those as precise as CRC."""
    lines = [f"| group | CRC: gap / precision | {default}: gap / precision | ratio | least gap as precise as CRC |"]
    lines.append("|---|---|---|---|---|")
    for group in dict.fromkeys(row.group for row in rows):
        methods = {row.method: row for row in rows if row.group == group}
        crc, ours = methods["CRC"], methods[default]
        fair = [row for row in methods.values() if row.method not in ENDS and row.mean["precision"] >= _floor(crc)]
        best = min(fair, key=lambda row: row.mean["coverage_gap"])
        lines.append(
            f"| {group[0]}, {group[1]}, {group[2]:g} | {_pair(crc)} | {_pair(ours)} | "
            f"{ours.mean['coverage_gap'] / crc.mean['coverage_gap']:.2f} | {best.method}, {_pair(best)} |"
        )
    return "\n".join([*lines, ""])


ENDS = ("everything", "oracle")
"""Methods that mark the ends of the scale: no promise of a use, or knowledge of the mask."""


def _floor(crc: Row) -> float:
    return crc.mean["precision"] - 5e-4  # what three decimals cannot tell apart is equal


def _pair(row: Row) -> str:
    return f"{row.mean['coverage_gap']:.3f} / {row.mean['precision']:.3f}"


def to_latex(rows: Sequence[Row]) -> str:
    r"""Coverage gaps, mean (SD), as a ``tabular`` with one line per method and one column per group."""
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
        columns = {name: [_short(split[name]) for split in result["splits"]] for name in result["splits"][0]}
        cell = {key: value for key, value in result.items() if key != "coverage_of_first_split"} | {"splits": columns}
        lines.append(json.dumps(cell, separators=(",", ":")))
    with replacing(path) as temporary:
        temporary.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def write_tables(results: Results, protocol: Protocol, folder: Path) -> list[Row]:
    """Write ``tables.md`` and ``gaps.tex``, and return the rows."""
    rows = rows_of(results)
    text = f"# Benchmark {protocol.name}\n\nMean (SD) over {protocol.splits} splits.\n\n"
    text += summary_markdown(rows, protocol.default) + "\n" + to_markdown(rows)
    for name, content in (("tables.md", text), ("gaps.tex", to_latex(rows))):
        with replacing(folder / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return rows
