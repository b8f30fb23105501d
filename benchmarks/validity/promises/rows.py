# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Every risk with every guarantee that admits it, and the sentences of those that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from benchmarks.validity.attempts import REFUSED, attempted
from benchmarks.validity.promises.judging import Outcome
from benchmarks.validity.promises.pool import WEIGHT, Array, Pool
from benchmarks.validity.promises.referred import share_referred
from benchmarks.validity.promises.trials import Collection, Measure, Trial
from benchmarks.validity.promises.truth import Truth, step_of
from monai_coat.calibration import (
    CalibrationResult,
    ConfidentRisk,
    ExpectedRisk,
    GrowingSet,
    Guarantee,
    LearnThenTest,
    PerGroup,
    PerPatient,
    Referring,
    Risk,
    Weighted,
    risk_named,
    update_with,
)

ALPHA, CONFIDENT_ALPHA, DELTA, SHARE, GRID = 0.1, 0.2, 0.1, 0.2, (0.0, 1.0, 20)
RISKS = (
    "false_negative_rate",
    "worst_class_false_negative_rate",
    "false_positive_ratio",
    "exceeds(false_negative_rate, 0.2)",
    "exceeds(false_positive_ratio, 0.5)",
    "lesions_missed(0.0)",
    "false_alarm(1)",
    "false_alarm_size",
    "volume_underestimated",
    "volume_overestimated",
    "false_discovery_rate",
)
PROCEDURES = ("graphical", "fixed_sequence", "holm")
BOUNDS = ("hoeffding_bentkus", "hinge", "binomial", "betting")
Make = Callable[[], Guarantee]


NESTED = ("false_negative_rate", "exceeds(false_positive_ratio, 0.5)")
"""Risks with which guarantees are also made around one that is confident."""


def guarantees(risk: Risk) -> dict[str, Make]:
    """What makes each guarantee, by what it is called."""
    found: dict[str, Make] = {"expected_risk": partial(ExpectedRisk, risk, ALPHA)}
    confident = partial(ConfidentRisk, risk, CONFIDENT_ALPHA, DELTA)
    found |= {f"confident_risk, {bound}": partial(confident, bound) for bound in BOUNDS}
    found["growing_set"] = partial(GrowingSet, risk, CONFIDENT_ALPHA, DELTA)
    for name, inner in (("", found["expected_risk"]), (" of confident_risk", confident)):
        if not name or risk.key in NESTED:
            found[f"per_group{name}"] = lambda inner=inner: PerGroup(inner(), "site")
            found[f"per_patient{name}"] = lambda inner=inner: PerPatient(inner())
            found[f"referring{name}"] = lambda inner=inner: Referring(replace(inner(), alpha=CONFIDENT_ALPHA), SHARE)
    found["weighted"] = lambda: Weighted(ExpectedRisk(risk, ALPHA), largest=WEIGHT[True])
    for procedure in PROCEDURES if risk.key in NESTED else PROCEDURES[:1]:
        found[f"learn_then_test, {procedure}"] = partial(
            LearnThenTest, risk, CONFIDENT_ALPHA, DELTA, {}, GRID, procedure
        )
    return found


def refusals(risk: Risk, pool: Pool) -> dict[str, str]:
    """The sentence of each guarantee that does not admit the risk."""
    found = {}
    for name, make in guarantees(risk).items():

        def calibrate_some(make=make) -> CalibrationResult:
            guarantee = make()
            statistic = guarantee.statistic()
            meta = [pool.meta(place) for place in range(200)]
            classes = 2 if risk.joint else 1
            update_with(statistic, pool.scores[:200, :classes], pool.labels[:200, :classes], meta)
            return guarantee.calibrate(statistic)

        said = attempted(calibrate_some)
        if said.startswith(REFUSED):
            found[name] = said.removeprefix(f"{REFUSED}: ")
    return found


@dataclass(frozen=True)
class Rows:
    """All trials of one risk."""

    key: str
    pool: Pool
    draws: int

    @cached_property
    def risk(self) -> Risk:
        """The risk."""
        return risk_named(self.key)

    @cached_property
    def truth(self) -> Truth:
        """Of the population."""
        return Truth(self.pool)

    @cached_property
    def admitted(self) -> dict[str, Guarantee]:
        """Guarantees that admit the risk."""
        refused = refusals(self.risk, self.pool)
        return {name: make() for name, make in guarantees(self.risk).items() if name not in refused}

    def outcomes(self) -> Iterator[Outcome]:
        """Of all collections."""
        for number, collection in enumerate(self.collections()):
            yield from collection.outcomes(self.key, self.draws, number)
        if "growing_set" in self.admitted:
            runs = self.draws // (10 if self.key in NESTED else 60)
            yield from self.collection([self.confident("growing_set", self.curve)]).growing(self.key, max(runs, 4), 9)

    @cached_property
    def curve(self) -> Array:
        """The true risk of images at each cutoff."""
        return self.truth.mean(self.key)

    def collections(self) -> list[Collection]:
        """Trials by the statistic that they read."""
        plain = [self.mean("expected_risk", self.curve)] if "expected_risk" in self.admitted else []
        plain += [self.confident(name, self.curve) for name in self.names("confident_risk, ")]
        found = [self.collection(plain)] if plain else []
        for name in self.names("per_group"):
            found.append(self.collection(self.of_groups(name), sizes=(50, 200, 1000)))
        of_patients = self.truth.mean(self.key, self.pool.of_patient)
        for name in self.names("per_patient"):
            make = self.confident if "confident" in name else self.mean
            found.append(self.collection([make(name, of_patients)], by_patient=True, sizes=(20, 50)))
        shifted = self.truth.mean(self.key, self.pool.weights)
        found += [self.collection([self.mean(name, shifted)]) for name in self.names("weighted")]
        tested = [self.confident(name, self.curve) for name in self.names("learn_then_test")]
        found += [self.collection(tested, sizes=(50, 200, 1000))] if tested else []
        for name in self.names("referring"):
            found.append(self.collection([self.referring(name)], sizes=(20, 50, 200)))
        return found

    def names(self, beginning: str) -> list[str]:
        """Of the admitted guarantees."""
        return [name for name in self.admitted if name.startswith(beginning)]

    def collection(self, trials: list[Trial], **settings: object) -> Collection:
        """Trials that read the statistic of the first."""
        return Collection(self.pool, trials[0].guarantee.statistic, trials, classes=1 + self.risk.joint, **settings)

    def mean(self, name: str, curve: Array) -> Trial:
        """Of the mean of a risk that is known at each cutoff."""
        return Trial(name, self.admitted[name], ALPHA, at(curve))

    def confident(self, name: str, curve: Array) -> Trial:
        """Of how often the level is broken."""
        return Trial(name, self.admitted[name], DELTA, breaks(curve, CONFIDENT_ALPHA))

    def of_groups(self, name: str) -> list[Trial]:
        """A trial of each group."""
        found = []
        for group, hard in (("easy", False), ("hard", True)):
            curve = self.truth.mean(self.key, np.where(self.pool.hard == hard, 1.0, 0.0))
            measure = breaks(curve, CONFIDENT_ALPHA, group) if "confident" in name else at(curve, group)
            level = DELTA if "confident" in name else ALPHA
            found.append(Trial(f"{name}, {group}", self.admitted[name], level, measure))
        return found

    def referring(self, name: str) -> Trial:
        """Of the share of images that are referred."""
        rng = np.random.default_rng(7)
        classes = 1 + self.risk.joint
        measure = lambda result: share_referred(result, self.truth, self.pool.draw(200, rng), classes)  # noqa: E731
        return Trial(name, self.admitted[name], SHARE, measure, f"P(referred) <= {SHARE}")


def at(curve: Array, group: str = "", strict: bool = False) -> Measure:
    """The true risk at the cutoff, perhaps of a group; 0 of a group that gets no promise, and so no sets."""

    def risk(result: CalibrationResult) -> float:
        if group and group not in result.groups:
            return 0.0
        return float(curve[step_of(result.of_group(group).cutoff[0], strict)])

    return risk


def breaks(curve: Array, alpha: float, group: str = "") -> Measure:
    """Whether the true risk is above the level, but for rounding."""
    risk = at(curve, group)
    return lambda result: float(risk(result) > alpha + 1e-12)
