# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Rows for which the large table has few draws, again with more and from other seeds; and two risks at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from benchmarks.validity.inputs import Inputs
from benchmarks.validity.promises import extras
from benchmarks.validity.promises.everything import ABSENT, PATIENTS, quiet
from benchmarks.validity.promises.judging import Outcome
from benchmarks.validity.promises.pool import Pool
from benchmarks.validity.promises.rows import CONFIDENT_ALPHA, DELTA, GRID, PROCEDURES, Rows, breaks
from benchmarks.validity.promises.trials import SHARE_OF_DRAWS, Collection, Trial
from benchmarks.validity.promises.truth import Truth
from benchmarks.validity.sections import Content, Section, paragraphs, progress, table
from monai_coat.calibration import CalibrationResult, LearnThenTest

WRONG_ALPHA, SEED = 0.9, 100
BINOMIAL = ("exceeds(false_negative_rate, 0.2)", "exceeds(false_positive_ratio, 0.5)", "volume_overestimated")
GROUPED, GROWING = ("lesions_missed(0.0)", "exceeds(false_negative_rate, 0.2)"), "false_alarm(1)"
TEXT = """Rows of the table above that have few draws and came near to what may be, or by chance beyond it: from other
seeds, with more draws, and bounds as there. And two risks promised at once, with a level of the false discovery rate
that can be kept; above is one that cannot, and nearly all draws are refused. A fixed sequence begins where most that is
marked is wrong, and is refused here, too."""


def run(inputs: Inputs) -> Content:
    """All of them."""
    with quiet():
        pool, empty = (Pool.drawn(PATIENTS, absent, seed) for seed, absent in enumerate(ABSENT.values()))
        draws = inputs.scale.draws
        tasks = [partial(_binomial, key, pool, draws) for key in BINOMIAL]
        tasks += [partial(_grouped, key, pool, draws // 5) for key in GROUPED]
        tasks += [partial(_growing, empty, draws // 8), partial(_two_risks, pool, draws // 2)]
        outcomes = _of_all(tasks)
    return {"rows": [each.to_json(len(outcomes)) for each in outcomes]}


def _of_all(tasks: list[Callable[[], list[Outcome]]]) -> list[Outcome]:
    found: list[Outcome] = []
    for task in progress("again", tasks):
        found += task()
    return found


def _sized(collection: Collection, n: int, risk: str, count: int) -> list[Outcome]:
    """So many draws of n images."""
    return replace(collection, sizes=(n,)).outcomes(risk, round(count / SHARE_OF_DRAWS[n]), SEED)


def _binomial(key: str, pool: Pool, count: int) -> list[Outcome]:
    """The exact bound of shares, which comes nearest to delta."""
    rows = Rows(key, pool, count)
    trial = rows.confident("confident_risk, binomial", rows.curve)
    return _sized(rows.collection([trial]), 200, key, count)


def _grouped(key: str, pool: Pool, count: int) -> list[Outcome]:
    """Both groups of a thousand images."""
    rows = Rows(key, pool, count)
    return _sized(rows.collection(rows.of_groups("per_group")), 1000, key, count)


def _growing(pool: Pool, runs: int) -> list[Outcome]:
    """Sets that grow."""
    rows = Rows(GROWING, pool, runs)
    return rows.collection([rows.confident("growing_set", rows.curve)]).growing(GROWING, runs, SEED)


def _two_risks(pool: Pool, count: int) -> list[Outcome]:
    """Little is missed, and not nearly all of what is marked is wrong."""
    truth = Truth(pool)
    parts = (
        breaks(truth.mean(extras.MISSED.key), CONFIDENT_ALPHA),
        breaks(truth.mean(extras.WRONG), WRONG_ALPHA),
    )

    def either(result: CalibrationResult) -> float:
        return max(part(result) for part in parts)

    make = partial(LearnThenTest, extras.MISSED, CONFIDENT_ALPHA, DELTA, {extras.WRONG: WRONG_ALPHA}, GRID)
    trials = [Trial(f"learn_then_test, {name}", make(name), DELTA, either) for name in PROCEDURES]
    collection = Collection(pool, trials[0].guarantee.statistic, trials)
    return _sized(collection, 200, f"{extras.MISSED.key} and {extras.WRONG}", count)


def lines(content: Content) -> list[str]:
    """A row for each."""
    rows = [
        [
            row["promise"],
            row["by"],
            str(row["n"]),
            f"{row['draws']} ({row['refused']} refused)" if row["refused"] else str(row["draws"]),
            f"{row['level']:g}",
            f"{row['mean']:.4f} [{row['least']:.4f}]",
            "yes" if row["kept"] else "**no**",
        ]
        for row in content["rows"]
    ]
    return [*paragraphs(TEXT), *table(["promised", "by", "n", "draws", "may be", "realised", "kept"], rows)]


def verdict(content: Content) -> str:
    """How many are kept."""
    kept, above = (sum(test(row) for row in content["rows"]) for test in (_is_kept, _is_above))
    return f"{kept} of {len(content['rows'])} kept, {above} above what may be."


def _is_kept(row: dict) -> bool:
    return row["kept"]


def _is_above(row: dict) -> bool:
    return row["mean"] > row["level"]


SECTION = Section("Some of these again, and two risks at once", run, lines, verdict, uses_data=False)
