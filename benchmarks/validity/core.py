# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The core: every risk and statistic, calibrated again and again on a population whose true risk is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.validity.inputs import Inputs
from benchmarks.validity.population import CLASSES, IMAGES, KNOWN, LEVELS, PRESENT, Population
from benchmarks.validity.sections import Content, Section, mean_and_error, paragraphs, progress, table
from monai_coat.calibration import (
    BinnedStatistic,
    BracketStatistic,
    CalibrationResult,
    ExpectedRisk,
    FalseNegativeRate,
    Risk,
    Statistic,
)

ALPHAS = (0.05, 0.1, 0.2)
TEXT = """Simulated: each draw calibrates on {images} new images of {classes} classes, and its true risk, the mean over
all images that could come, is computed, not sampled. Scores take {levels} values, so that ties abound; hardness differs
from image to image, and one in ten lacks a class; of false alarms, nine in ten. Mean over {draws} draws, both classes
together where each has a promise of its own, with the standard error of that mean. A promise is about this mean over
draws; a single calibration may be above it, and the last column says what 95 % of them stay below."""
Batch = tuple[torch.Tensor, torch.Tensor]
Calibrator = Callable[[Batch, float], CalibrationResult]


def calibrated(risk: Risk, statistic: Statistic, batch: Batch, alpha: float) -> CalibrationResult:
    """A calibration of a batch by one statistic."""
    statistic.update(*batch)
    return ExpectedRisk(risk, alpha).calibrate(statistic)


def by_exact(risk: Risk) -> Calibrator:
    """The risk's own statistic."""
    return lambda batch, alpha: calibrated(risk, risk.statistic(), batch, alpha)


def by_binned(batch: Batch, alpha: float) -> CalibrationResult:
    """Sums on a grid that does not fit the scores."""
    return calibrated(FalseNegativeRate(), BinnedStatistic(-0.03, 1.0), batch, alpha)


def by_bracket(batch: Batch, alpha: float) -> CalibrationResult:
    """The exact cutoff by a second pass."""
    first = BinnedStatistic(-0.03, 1.0, bins=16)
    first.update(*batch)
    return calibrated(FalseNegativeRate(), BracketStatistic(first.brackets(alpha)), batch, alpha)


ROWS: dict[tuple[Risk, str], Calibrator] = {(risk, "exact"): by_exact(risk) for risk in KNOWN}
ROWS |= {(FalseNegativeRate(), "binned"): by_binned, (FalseNegativeRate(), "bracket"): by_bracket}


def population_for(risk: Risk) -> Population:
    """One in which most images count."""
    return Population(1 - PRESENT if risk.counted == "images without foreground" else PRESENT)


def run(inputs: Inputs) -> Content:
    """True risks of each draw's cutoffs, for each risk, statistic and level."""
    risks: dict[tuple[str, str, float], list[list[float]]] = {}
    words: dict[tuple[str, str, float], str] = {}
    rngs = {PRESENT: np.random.default_rng(0), 1 - PRESENT: np.random.default_rng(1)}
    for _ in progress("core", range(inputs.scale.draws)):
        batches = {present: Population(present).batch(IMAGES, rng) for present, rng in rngs.items()}
        for (risk, statistic), calibrator in ROWS.items():
            population = population_for(risk)
            for alpha in ALPHAS:
                result, key = calibrator(batches[population.present], alpha), (risk.name, statistic, alpha)
                classes = result.cutoff[:1] if risk.joint else result.cutoff
                risks.setdefault(key, []).append([population.risk(risk, cutoff) for cutoff in classes])
                words[key] = result.guarantee.split(" on average")[0]
    rows = [[*key, words[key], np.mean(values, axis=1).tolist()] for key, values in risks.items()]
    return {"draws": inputs.scale.draws, "rows": rows}


def lines(content: Content) -> list[str]:
    """A row per risk, statistic and level."""
    rows = []
    for _, statistic, alpha, promise, values in content["rows"]:
        mean, error = mean_and_error(values)
        kept = "yes" if mean <= alpha else "**no**"
        high = float(np.quantile(values, 0.95))
        rows.append([promise, statistic, f"{mean:.4f} ± {error:.4f}", kept, f"{high:.3f}"])
    text = TEXT.format(images=IMAGES, classes=CLASSES, levels=LEVELS, draws=content["draws"])
    return [*paragraphs(text), *table(["promised", "statistic", "realised", "kept", "95 % are below"], rows)]


def verdict(content: Content) -> str:
    """How many of the promises are kept, and how closely."""
    means = [(mean_and_error(values)[0], alpha) for _, _, alpha, _, values in content["rows"]]
    kept = sum(mean <= alpha for mean, alpha in means)
    nearest = max(mean / alpha for mean, alpha in means)
    return f"{kept} of {len(means)} kept on a population that is known; the nearest reaches {nearest:.0%} of its level."


SECTION = Section("The core: risks and statistics", run, lines, verdict, uses_data=False)
