# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Rules that are wrong in a way that is seen in practice: the trials of the promises must catch each of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.validity.promises.judging import Outcome
from benchmarks.validity.promises.pool import LEVELS, Pool, as_scores
from benchmarks.validity.promises.rows import ALPHA, CONFIDENT_ALPHA, DELTA, at, breaks
from benchmarks.validity.promises.trials import Collection, Measure, Trial
from benchmarks.validity.promises.truth import Truth, reached, step_of
from monai_coat.calibration import (
    BinnedStatistic,
    CalibrationResult,
    ConfidentRisk,
    Exceeds,
    ExpectedRisk,
    FalseNegativeRate,
    Guarantee,
    PerGroup,
)
from monai_coat.functional import exact_level

MISSED = FalseNegativeRate()
FAILED = Exceeds(MISSED, 0.2)
BINS = 16


@dataclass(frozen=True)
class WithoutOne(ExpectedRisk):
    """The mean risk of the calibration images at the level, without a place for the new one."""

    name: ClassVar[str] = "without_one"

    def budget(self, n: int) -> Fraction:
        """The level of n images."""
        return exact_level(self.alpha) * n


@dataclass(frozen=True)
class HalvesAdded(ConfidentRisk):
    """MAPIE 1.6's bound of Waudby-Smith and Ramdas: what each half of the images won at best is added up.

    The largest of a sum of logarithms, over the first images, is won by a gambler who may stop; to add the largest of
    the second half is to let two gamblers stop and to multiply what they have.
    """

    name: ClassVar[str] = "halves_added"
    bound: str = "betting"

    def _keeps(self, risks: NDArray[np.float64]) -> bool:
        n, enough = len(risks), math.log(1 / self.delta)
        counts = np.arange(1, n + 1)
        means = (0.5 + np.cumsum(risks)) / (counts + 1)
        spreads = (0.25 + np.cumsum((risks - means) ** 2)) / (counts + 1)
        before = np.concatenate([[0.25], spreads[:-1]])
        stakes = np.minimum(1, np.sqrt(2 * enough / (n * before)))
        with np.errstate(divide="ignore"):
            won = np.log(1 - stakes * (risks - self.alpha) + np.finfo(np.float64).eps)
        halves = won[: n // 2], won[n - n // 2 :]
        return bool(n > 1 and sum(np.cumsum(half).max() for half in halves) > enough)


@dataclass(frozen=True)
class Broken:
    """What is wrong, and the trial that must catch it."""

    wrong: str
    risk: str
    collection: Collection
    grows: bool = False

    def outcome(self, draws: int, seed: int) -> Outcome:
        """Of the trial."""
        if self.grows:
            return self.collection.growing(self.risk, max(draws // 10, 4), seed)[0]
        return self.collection.outcomes(self.risk, draws, seed)[0]


@dataclass(frozen=True)
class _Rules:
    """Wrong rules on a population."""

    pool: Pool
    truth: Truth

    def mean(self, wrong: str, measure: Measure, n: int, **settings: object) -> Broken:
        """By the expected risk, if nothing else is said, of images of which more than a fifth is missed."""
        guarantee = settings.pop("guarantee", ExpectedRisk(FAILED, ALPHA))
        promise = ExpectedRisk(guarantee.risk, ALPHA).promise
        trial = Trial(wrong, guarantee, ALPHA, measure, promise)
        empty = settings.pop("empty", guarantee.statistic)
        collection = Collection(settings.pop("pool", self.pool), empty, [trial], (n,), **settings)
        return Broken(wrong, guarantee.risk.key, collection)

    def confident(self, wrong: str, guarantee: Guarantee, n: int, grows: bool = False) -> Broken:
        """By how often the level is broken."""
        promise = ConfidentRisk(FAILED, CONFIDENT_ALPHA, DELTA, "binomial").promise
        measure = breaks(self.truth.mean(FAILED.key), CONFIDENT_ALPHA)
        collection = Collection(self.pool, FAILED.statistic, [Trial(wrong, guarantee, DELTA, measure, promise)], (n,))
        return Broken(wrong, FAILED.key, collection, grows)


def broken_rules(pool: Pool) -> list[Broken]:
    """All of them, each where it does harm."""
    truth, missed = Truth(pool), ExpectedRisk(MISSED, ALPHA)
    rules, curve = _Rules(pool, truth), truth.mean(FAILED.key)
    coarse = coarsened(pool)
    margins, risk_of_new = trained_on(pool)
    return [
        rules.mean("no place for the new image", at(truth.mean(MISSED.key)), 20, guarantee=WithoutOne(MISSED, ALPHA)),
        rules.mean("sets of what exceeds the cutoff", at(Truth(coarse).mean(FAILED.key), strict=True), 50, pool=coarse),
        rules.mean(
            "thresholds trained on the calibration images",
            risk_of_new,
            50,
            guarantee=missed,
            maps=(as_scores(margins), pool.labels),
        ),
        rules.mean(
            "the wrong end of a step of the grid",
            next_step(curve),
            50,
            empty=partial(BinnedStatistic, 0.0, 1.0, BINS, risk=FAILED),
        ),
        mixed_up(pool, truth),
        rules.mean(
            "images counted in place of patients", at(truth.mean(FAILED.key, pool.of_patient)), 20, by_patient=True
        ),
        rules.mean("weights left out where the population has shifted", at(truth.mean(FAILED.key, pool.weights)), 50),
        rules.confident("delta left out", ExpectedRisk(FAILED, CONFIDENT_ALPHA), 50),
        rules.confident(
            "a bound for one n at every n", ConfidentRisk(FAILED, CONFIDENT_ALPHA, DELTA, "binomial"), 200, True
        ),
        rules.confident("the bound of MAPIE 1.6 that adds two halves", HalvesAdded(FAILED, CONFIDENT_ALPHA, DELTA), 50),
    ]


def coarsened(pool: Pool) -> Pool:
    """Scores on twenty levels."""
    return replace(pool, levels=pool.levels // 10 * 10)


def trained_on(pool: Pool) -> tuple[NDArray[np.int64], Measure]:
    """Margins over thresholds that are each image's own best, and the true risk of images with the mean of these."""
    masks = pool.lesions > 0
    hits = reached(pool.levels, masks)
    needed = np.ceil((1 - ALPHA) * hits[..., :1])
    # The last level with enough of the foreground above it.
    best = (hits >= needed).sum(2) - 1
    own = np.where(masks.any(2), best, 0)[..., None]
    typical = round(float(own[masks.any(2)].mean()))
    curve = Truth(pool).mean(MISSED.key)

    def risk(result: CalibrationResult) -> float:
        steps = math.ceil(round(result.cutoff[0] * LEVELS, 3)) + typical
        return float(curve[min(max(steps, 0), LEVELS)])

    return pool.levels - own, risk


def next_step(curve: NDArray[np.float64]) -> Measure:
    """The true risk one step of the grid higher."""
    return lambda result: float(curve[step_of(result.cutoff[0] + 1 / BINS)])


def mixed_up(pool: Pool, truth: Truth) -> Broken:
    """The hard group by the cutoff of the easy one."""
    guarantee, wrong = PerGroup(ExpectedRisk(MISSED, ALPHA), "site"), "groups mixed up"
    hard = truth.mean(MISSED.key, np.where(pool.hard, 1.0, 0.0))
    trial = Trial(wrong, guarantee, ALPHA, at(hard, "easy"))
    return Broken(wrong, MISSED.key, Collection(pool, guarantee.statistic, [trial], (50,)))
