# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Two risks promised at once, and promises from masks that are partly wrong."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.validity.promises.judging import Outcome
from benchmarks.validity.promises.pool import Pool
from benchmarks.validity.promises.rows import ALPHA, CONFIDENT_ALPHA, DELTA, GRID, PROCEDURES, at, breaks
from benchmarks.validity.promises.trials import Collection, Trial
from benchmarks.validity.promises.truth import Truth
from monai_coat.calibration import (
    BinnedStatistic,
    CalibrationResult,
    ConfidentRisk,
    ExpectedRisk,
    FalseNegativeRate,
    LearnThenTest,
)

MISSED, WRONG, WRONG_ALPHA = FalseNegativeRate(), "false_discovery_rate", 0.7


def two_risks(pool: Pool, draws: int) -> list[Outcome]:
    """Little is missed, and little of what is marked is wrong."""
    truth, also = Truth(pool), {WRONG: WRONG_ALPHA}
    parts = breaks(truth.mean(MISSED.key), CONFIDENT_ALPHA), breaks(truth.mean(WRONG), WRONG_ALPHA)

    def either(result: CalibrationResult) -> float:
        return max(part(result) for part in parts)

    make = partial(LearnThenTest, MISSED, CONFIDENT_ALPHA, DELTA, also, GRID)
    trials = [Trial(f"learn_then_test, {name}", make(name), DELTA, either) for name in PROCEDURES]
    collection = Collection(pool, trials[0].guarantee.statistic, trials, (200, 1000))
    return collection.outcomes(f"{MISSED.key} and {WRONG}", draws, 11)


def binned(pool: Pool, draws: int) -> list[Outcome]:
    """Sums on a grid that does not fit the scores."""
    curve = Truth(pool).mean(MISSED.key)
    trials = [
        Trial("expected_risk, binned", ExpectedRisk(MISSED, ALPHA), ALPHA, at(curve)),
        Trial(
            "confident_risk, binned",
            ConfidentRisk(MISSED, CONFIDENT_ALPHA, DELTA),
            DELTA,
            breaks(curve, CONFIDENT_ALPHA),
        ),
    ]
    return Collection(pool, partial(BinnedStatistic, -0.03, 1.0), trials).outcomes(MISSED.key, draws, 12)


def noisy_masks(pool: Pool, draws: int) -> tuple[list[Outcome], list[Outcome]]:
    """Of masks with wrong pixels at boundaries: what is promised of such masks, and what comes out of right ones."""
    curves = Truth(pool, pool.noisy).mean(MISSED.key), Truth(pool).mean(MISSED.key)
    expected, confident = ExpectedRisk(MISSED, ALPHA), ConfidentRisk(MISSED, CONFIDENT_ALPHA, DELTA)
    of_both = []
    for curve in curves:
        trials = [
            Trial("expected_risk, noisy masks", expected, ALPHA, at(curve)),
            Trial("confident_risk, noisy masks", confident, DELTA, breaks(curve, CONFIDENT_ALPHA)),
        ]
        maps = pool.scores, torch.from_numpy(pool.noisy)
        of_both.append(Collection(pool, MISSED.statistic, trials, maps=maps).outcomes(MISSED.key, draws, 13))
    return of_both[0], of_both[1]
