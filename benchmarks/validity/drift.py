# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How often the test of drift raises a false alarm, and how soon a true one; ``python -m benchmarks.validity.drift``.

A foreground pixel of an image with hardness h has the score U ** h, U uniform, and is missed at cutoff c with
probability c ** (1 / h). In the *graded* population an image has 50 such pixels and a log-normal hardness, so that many
are missed in part. In the *all-or-nothing* population it has one, of hardness 1: no risk in [0, 1] varies more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from monai_coat.calibration import calibrate_maps
from monai_coat.calibration.drift import DriftWatch, risk_bound, share_of_level
from monai_coat.functional import exact_level

ALPHA, LEVEL, RUNS, PIXELS, STAKES, STREAMS = 0.1, 0.01, 2000, 50, 16, 8
SIZES, SHIFTED, LATE = (10, 50, 150), (0.3, 0.5), 300
LOOKS, DELAYS = (300, 1000, 3000), (30, 100, 300, 1000)
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """Images of random hardness.

    Attributes:
        name: how the table calls it.
        spread: standard deviation of the logarithm of hardness.
        pixels: number of different scores per image.
    """

    name: str
    spread: float
    pixels: int

    def calibration(self, runs: int, n: int, rng: np.random.Generator) -> Array:
        """Scores ``(runs, n, pixels)`` of calibration images."""
        hardness = np.exp(self.spread * rng.standard_normal((runs, n, 1)))
        return rng.random((runs, n, self.pixels)) ** hardness

    def risks(self, cutoffs: Array, count: int, rng: np.random.Generator) -> Array:
        """False negative rates ``(runs, count)`` of new images at each run's cutoff."""
        hardness = np.exp(self.spread * rng.standard_normal((cutoffs.size, count)))
        return rng.binomial(self.pixels, cutoffs[:, None] ** (1 / hardness)) / self.pixels

    def cutoff_of(self, risk: float) -> float:
        """The cutoff with this mean risk, by quadrature over hardness and bisection."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            mean = weights @ middle ** np.exp(-self.spread * nodes) / weights.sum()
            low, high = (middle, high) if mean <= risk else (low, middle)
        return low


POPULATIONS = Population("all or nothing", 0.0, 1), Population("graded", 1.0, PIXELS)


def cutoffs_of(scores: Array) -> Array:
    """Conformal risk control's cutoff for each run, as the order statistic that it is if images have equal sizes.

    With m scores per image, k scores below the cutoff make a sum of risks of k / m, at most alpha (n + 1) - 1.
    """
    runs, n, pixels = scores.shape
    below = math.floor((exact_level(ALPHA) * (n + 1) - 1) * pixels)
    return np.partition(scores.reshape(runs, -1), below, axis=1)[:, below]


def first_alarms(risks: Array, mean: float, limit: float, restarts: bool = True) -> Array:
    """Images until the wealth of bets against a mean reaches the limit, for each row; infinite where it does not.

    With restarts these are the bets of :class:`DriftWatch`; without, all is bet from the first image on, as before.
    """
    first = np.full(len(risks), np.inf)
    stakes = np.arange(1, STAKES + 1) / (STAKES * mean)
    invested = np.full((len(risks), STAKES), 0.0 if restarts else 1 / STAKES)
    for step, risk in enumerate(risks.T, 1):
        if restarts:
            invested += 1 / (STAKES * step * (step + 1))
        invested *= np.maximum(1 + stakes * (risk[:, None] - mean), 0)
        np.minimum(invested, 1e300, out=invested)
        wealth = invested.sum(1) + (1 / (step + 1) if restarts else 0)
        first[(wealth >= limit) & np.isinf(first)] = step
    return first


def alarms_of_watch(risks: Array, n: int, level: float = LEVEL) -> Array:
    """Images until each row's :class:`DriftWatch` is broken."""
    return first_alarms(risks, risk_bound(ALPHA, n, level / 2), 2 / level)


def check_against_package() -> None:
    """Compare the short forms above with the package, once for each population."""
    rng = np.random.default_rng(0)
    for population in POPULATIONS:
        scores = population.calibration(1, 50, rng).astype(np.float32)
        maps = list(torch.from_numpy(scores[0])[:, None])
        cutoff = calibrate_maps(maps, [torch.ones_like(scored) for scored in maps], ALPHA).cutoff[0]
        risks = population.risks(np.array([population.cutoff_of(0.4)]), 300, rng)
        watch, steps = DriftWatch(ALPHA, 50, LEVEL), 0
        while not watch.broken:
            watch.update(risks[0, steps])
            steps += 1
        if cutoff != cutoffs_of(scores)[0] or steps != alarms_of_watch(risks, 50)[0]:
            raise RuntimeError("the simulation does not compute what the package does; correct its short forms.")


def shares(alarms: Array, within: tuple[int, ...]) -> str:
    """Cells with the percentage of runs that alarm within each number of images."""
    return " | ".join(f"{100 * np.mean(alarms <= count):.1f} %" for count in within)


def false_alarms() -> Iterator[str]:
    """A line per population and size of the calibration set: nothing drifts."""
    rng = np.random.default_rng(1)
    for population in POPULATIONS:
        for n in SIZES:
            cutoffs = cutoffs_of(population.calibration(RUNS, n, rng))
            risks = population.risks(cutoffs, LOOKS[-1], rng)
            before = first_alarms(risks, ALPHA, 1 / LEVEL, restarts=False)
            cells = f"{shares(alarms_of_watch(risks, n), LOOKS)} | {shares(before, LOOKS)}"
            yield f"| {population.name} | {n} | {risk_bound(ALPHA, n, LEVEL / 2):.3f} | {cells} |"


def true_alarms() -> Iterator[str]:
    """A line per population, size, shift and its time: scores fall so that the cutoff in use misses more."""
    rng = np.random.default_rng(2)
    for population in POPULATIONS:
        for n in SIZES:
            before = population.risks(cutoffs_of(population.calibration(RUNS, n, rng)), LATE, rng)
            for risk in SHIFTED:
                after = population.risks(np.full(RUNS, population.cutoff_of(risk)), DELAYS[-1], rng)
                for late, risks in ((0, after), (LATE, np.c_[before, after])):
                    delays = alarms_of_watch(risks, n) - late
                    delays[delays <= 0] = np.inf  # an alarm before the shift does not find it
                    median = np.median(delays)
                    half = f"{median:.0f}" if np.isfinite(median) else f"over {DELAYS[-1]}"
                    yield f"| {population.name} | {n} | {risk} | {late} | {shares(delays, DELAYS)} | {half} |"


def several_streams() -> Iterator[str]:
    """A line per size of the calibration set: runs in which any of several streams alarms, nothing drifts."""
    rng, population = np.random.default_rng(3), POPULATIONS[0]
    level = share_of_level(LEVEL, STREAMS)
    for n in SIZES:
        cutoffs = cutoffs_of(population.calibration(RUNS // 4 * STREAMS, n, rng))
        risks = population.risks(cutoffs, LOOKS[-1], rng)
        undivided = first_alarms(risks, ALPHA, 1 / LEVEL, restarts=False)
        ours, before = (a.reshape(-1, STREAMS).min(1) for a in (alarms_of_watch(risks, n, level), undivided))
        yield f"| {n} | {risk_bound(ALPHA, n, level / 2):.3f} | {shares(ours, LOOKS)} | {shares(before, LOOKS)} |"


def columns(text: str, counts: tuple[int, ...]) -> str:
    """Heads of columns."""
    return " | ".join(f"{text} {count}" for count in counts)


def table(head: str, lines: Iterator[str]) -> list[str]:
    """A Markdown table."""
    return [f"| {head} |", f"|{'---|' * (head.count(' | ') + 1)}", *lines, ""]


def run() -> list[str]:
    """The three tables as lines of Markdown; takes half a minute with one thread."""
    check_against_package()
    bound = "images | bound"
    looks = f"{columns('alarm within', LOOKS)} | {columns('before:', LOOKS)}"
    delays = f"{columns('found within', DELAYS)} | median"
    return [
        f"No drift: share of {RUNS} runs with a false alarm, stated to be at most {LEVEL:.0%} ever; alpha {ALPHA}. "
        f"*Before*, bets were against alpha itself, up to a wealth of {1 / LEVEL:g}, as if one calibration kept it.",
        "",
        *table(f"risks | {bound} | {looks}", false_alarms()),
        f"Drift: share of {RUNS} runs that find a mean risk raised to {SHIFTED[0]} or {SHIFTED[1]}, within so many "
        f"images of the shift, which comes at once or after {LATE} images, and the median number until the alarm.",
        "",
        *table(f"risks | images | risk | after | {delays}", true_alarms()),
        f"No drift, {STREAMS} independent streams of all-or-nothing risks watched together: share of {RUNS // 4} runs "
        f"with any alarm. Each has a share of the level; *before*, each had all of it.",
        "",
        *table(f"{bound} | {looks}", several_streams()),
    ]


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    print("\n".join(run()))


if __name__ == "__main__":
    main()
