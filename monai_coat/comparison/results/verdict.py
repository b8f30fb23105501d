# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a comparison comes to, in a sentence for each group: which method, what it saves, what it costs, how sure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from monai.utils.module import optional_import

from monai_coat.comparison.results.rows import CONFIDENCE, Row

__all__ = ["verdict_markdown"]

stats, _ = optional_import(
    "scipy.stats",
    descriptor="SciPy must be installed for intervals of differences; run pip install 'monai_coat[methods]' ({}).",
)

INTERVAL = (
    "In words; ± is a 95 % interval over other divisions of the same images, wide enough for the choice among methods:"
)
TOLERANCE = 0.01
"""How much less precise than the reference a method may be that is recommended."""


def verdict_markdown(rows: Sequence[Row], reference: str) -> str:
    """A sentence for each group.

    Among the methods that are at most 0.01 less precise than the reference, and whose coverage gap is smaller in a 95 %
    interval that allows for the choice (Bonferroni), it names the one with the least gap. Is there none, a threshold
    per image does not pay. Methods that the command ``fit`` has come before others. The interval speaks of other
    divisions of the same images.

    Args:
        rows: of all groups.
        reference: the method that others are compared with, one threshold for all images.

    Returns:
        What ± is, and a line for each group.
    """
    groups: dict[tuple[str, str, float], list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    lines = [f"- {_place(group)}: {_sentence(own, reference)}" for group, own in groups.items()]
    return "\n".join([INTERVAL, "", *lines, ""])


def _place(group: tuple[str, str, float]) -> str:
    return f"{group[0]}, {group[1]}, alpha {group[2]:g}"


def _sentence(rows: Sequence[Row], reference: str) -> str:
    one = next((row for row in rows if row.method == reference), None)
    if one is None:
        return f"{reference} was not run, so that nothing can be said."
    precise = [row for row in rows if row is not one and not row.is_bound and _is_as_precise(row, one)]
    sure = [row for row in precise if row.difference + _half_width(row, len(precise)) < 0]
    if not sure:
        return (
            f"a threshold per image does not pay. No method that is at most {TOLERANCE} less precise is surely nearer "
            f"to its target than {reference}, one threshold for all: {_words(one)}."
        )
    nearest = min(sure, key=_gap)
    best = min((row for row in sure if row.command), key=_gap, default=nearest)
    saved = f"{-best.difference:.3f} ± {_half_width(best, len(precise)):.3f}"
    return (
        f"take {best.method}{_command(best)}. Coverage of an image is {saved} nearer to its target than with "
        f"{reference}: {_words(best)}, in place of {_words(one)}.{_nearer(nearest, best)}"
    )


def _gap(row: Row) -> float:
    return row.mean["coverage_gap"]


def _nearer(nearest: Row, best: Row) -> str:
    if nearest is best:
        return ""
    return f" {nearest.method}, which `fit` has not with these settings, is nearer still: {_gap(nearest):.3f}."


def _is_as_precise(row: Row, one: Row) -> bool:
    return row.mean["precision"] >= one.mean["precision"] - TOLERANCE


def _half_width(row: Row, choices: int) -> float:
    """Half the interval of the difference, wide enough for the best of so many."""
    freedom = row.draws - 1
    wide, single = (float(stats.t.ppf(1 - (1 - CONFIDENCE) / 2 / each, freedom)) for each in (choices, 1))
    return row.half_width * wide / single if math.isfinite(row.half_width) else math.inf


def _words(row: Row) -> str:
    mean = row.mean
    size = f"sets are typically {mean['relative_size_median']:.2f} times as large as the object"
    return f"{_gap(row):.3f} away on average, precision {mean['precision']:.2f}, {size}"


def _command(row: Row) -> str:
    return f" (`fit --method {row.command}`)" if row.command else ""
