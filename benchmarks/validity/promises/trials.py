# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A guarantee calibrated again and again through the package, and what it loses, by what is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.validity.promises.judging import Outcome
from benchmarks.validity.promises.pool import Pool
from monai_coat.calibration import CalibrationResult, Guarantee, Statistic, calibrate, update_with

SIZES = (20, 50, 200, 1000)
SHARE_OF_DRAWS = {20: 1.0, 50: 1.0, 200: 1 / 16, 1000: 1 / 80}
GROWING = (20, 200, 5)
"""First and last size of a set that grows, and how many images it grows by."""

Measure = Callable[[CalibrationResult], float]
Images = Sequence[Any]


@dataclass(frozen=True)
class Trial:
    """A guarantee with what it is held against.

    Attributes:
        by: guarantee and settings, in short.
        guarantee: what calibrates.
        level: what the mean of the measure may be at most.
        measure: of a result, the true risk, or 1 if the level is broken and 0 if not.
        promise: the promise as a formula, the guarantee's if it is empty.
    """

    by: str
    guarantee: Guarantee
    level: float
    measure: Measure
    promise: str = ""


@dataclass(frozen=True)
class Collection:
    """Images collected one by one, of which each draw takes some: trials that read the same statistic.

    Attributes:
        pool: the population.
        empty: makes an empty statistic.
        trials: what is calibrated from it.
        sizes: images of a draw.
        by_patient: whether a draw is of so many patients.
        maps: scores and masks if they are not the population's.
    """

    pool: Pool
    empty: Callable[[], Statistic]
    trials: Sequence[Trial]
    sizes: Sequence[int] = SIZES
    by_patient: bool = False
    classes: int = 1
    maps: tuple[Tensor, Tensor] | None = None

    def parts(self) -> list[Statistic]:
        """A statistic of each image by itself."""
        scores, labels = self.maps or (self.pool.scores, self.pool.labels)
        found = []
        for place in range(len(self.pool)):
            found.append(self.empty())
            image = slice(place, place + 1)
            pair = scores[image, : self.classes], labels[image, : self.classes]
            update_with(found[-1], *pair, [self.pool.meta(place)])
        return found

    def outcomes(self, risk: str, draws: int, seed: int) -> list[Outcome]:
        """Of each trial and size."""
        parts, found = self.parts(), []
        for n in self.sizes:
            count = max(round(draws * SHARE_OF_DRAWS[n]), 4)
            rng = np.random.default_rng([seed, n])
            values: list[list[float]] = [[] for _ in self.trials]
            refused = [0] * len(self.trials)
            for _ in range(count):
                statistic = self.drawn(parts, n, rng)
                for index, trial in enumerate(self.trials):
                    result = calibrated(trial.guarantee, statistic)
                    refused[index] += result is None
                    values[index].append(0.0 if result is None else trial.measure(result))
            found += [
                Outcome(risk, t.promise or t.guarantee.promise, t.by, n, t.level, tuple(v), r)
                for t, v, r in zip(self.trials, values, refused, strict=True)
            ]
        return found

    def drawn(self, parts: Sequence[Statistic], n: int, rng: np.random.Generator) -> Statistic:
        """The statistic of a new draw."""
        statistic = self.empty()
        if not self.by_patient:
            for place in self.pool.draw(n, rng):
                statistic.merge(parts[place])
            return statistic
        for place, number in self.pool.draw_patients(n, rng):
            statistic.merge(parts[place])
            if hasattr(statistic, "entries"):  # who is drawn twice is two patients
                statistic.entries[-1] = f"{statistic.entries[-1]} of draw {number}"
        return statistic

    def growing(self, risk: str, runs: int, seed: int) -> list[Outcome]:
        """Of each trial, whether any calibration of a set that grows breaks the level."""
        parts, found = self.parts(), []
        first, last, step = GROWING
        for trial in self.trials:
            rng, broken = np.random.default_rng([seed, last]), []
            for _ in range(runs):
                statistic, worst = self.empty(), 0.0
                for seen, place in enumerate(self.pool.draw(last, rng), 1):
                    statistic.merge(parts[place])
                    if seen >= first and (seen - first) % step == 0 and not worst:
                        result = calibrated(trial.guarantee, statistic)
                        worst = 0.0 if result is None else trial.measure(result)
                broken.append(worst)
            promise = trial.promise or trial.guarantee.promise
            found.append(Outcome(risk, promise, trial.by, last, trial.level, tuple(broken)))
        return found


def calibrated(guarantee: Guarantee, statistic: Statistic) -> CalibrationResult | None:
    """The result, or None if it is refused, as for too few images that count."""
    try:
        return calibrate(statistic, guarantee=guarantee)
    except ValueError as error:
        if "needs at least" in str(error) or "infeasible" in str(error) or "can be promised" in str(error):
            return None
        raise
