# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The same numbers by other packages, where these are installed; none is necessary."""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.validity.inputs import Inputs
from benchmarks.validity.promises.pool import Pool
from benchmarks.validity.sections import Content, Section, paragraphs, progress, table
from monai_coat.calibration import Exceeds, ExpectedRisk, FalseNegativeRate, PerGroup
from monai_coat.functional import (
    betting_upper_bound,
    graphical_test,
    hoeffding_bentkus_p_value,
    holm_graph,
    sequence_graph,
)

ALPHA, DELTA, CASES, RUNS = 0.1, 0.1, 500, 200
TEXT = """What other packages compute that promise the same, over random cases from one seed."""
Row = list[str]


def p_values(rng: np.random.Generator) -> Row:
    """Hoeffding and Bentkus by MAPIE."""
    theirs = importlib.import_module("mapie.risk_control").methods.compute_hoeffding_bentkus_p_value
    higher = differing = 0
    for _ in range(CASES):
        n = int(rng.integers(1, 500))
        total = int(rng.integers(0, n + 1)) if rng.random() < 0.5 else float(rng.random() * n)
        alpha = float(rng.choice([0.01, 0.05, 0.1, 0.2, 0.5]))
        other = min(1.0, float(np.ravel(theirs(np.array([total / n]), n, alpha))[0]))
        ratio = hoeffding_bentkus_p_value(total, n, alpha) / max(other, 1e-300)
        differing += abs(ratio - 1) > 2e-6
        higher += ratio < 1 - 2e-6 and math.ceil(n * (total / n)) > math.ceil(total)
    said = (
        f"ours are rounded up by a millionth; in {higher} of these, the mean times n comes out above the whole number "
        "that the sum is, and theirs is that of the next"
    )
    return [f"{CASES} p-values", f"{differing} differ by more than 2 millionths", said]


def holm(rng: np.random.Generator) -> Row:
    """Holm's procedure by statsmodels."""
    theirs = importlib.import_module("statsmodels.stats.multitest").multipletests
    gc.freeze()  # it collects garbage at each call, which takes half a second beside torch
    try:
        return _rejections(rng, holm_graph, lambda p: np.asarray(theirs(p, DELTA, method="holm")[0]))
    finally:
        gc.unfreeze()


def fixed_sequence(rng: np.random.Generator) -> Row:
    """A fixed sequence by MAPIE."""
    control = importlib.import_module("mapie.risk_control.fwer_control").control_fwer

    def theirs(p: np.ndarray) -> np.ndarray:
        rejected = np.zeros(len(p), bool)
        rejected[np.asarray(control(p, DELTA, "fixed_sequence"), dtype=int)] = True
        return rejected

    return _rejections(rng, sequence_graph, theirs)


def _rejections(rng: np.random.Generator, graph: Callable[[int], Any], theirs: Callable[..., np.ndarray]) -> Row:
    differing = 0
    for _ in range(CASES):
        p = rng.random(int(rng.integers(2, 30))) ** 4
        differing += not np.array_equal(graphical_test(p, graph(len(p)), DELTA), theirs(p))
    return [f"{CASES} sets of hypotheses", f"{differing} differ", ""]


def of_indicator(rng: np.random.Generator) -> Row:
    """The cutoff of a probability, which is an order statistic, by crepes."""
    regressor = importlib.import_module("crepes").ConformalRegressor
    pool, risk, differing = Pool.drawn(200, 0.0, 5), Exceeds(FalseNegativeRate(), 0.2), list[int]()
    guarantee = ExpectedRisk(risk, ALPHA)
    for _ in range(CASES // 5):
        rows = rng.permutation(len(pool))[: int(rng.integers(20, 200))]
        scores, labels = pool.scores[rows, :1], pool.labels[rows, :1]
        statistic = guarantee.statistic()
        statistic.update(scores, labels)
        critical = torch.cat(risk.critical_scores(scores, labels)[0]).numpy().astype(np.float64)
        other = regressor().fit(1 - critical).predict_int(np.zeros(1), confidence=1 - ALPHA)[0, 1]
        if abs(1 - other - guarantee.calibrate(statistic).cutoff[0]) > 1e-9:
            differing.append(len(rows))
    return [f"{CASES // 5} calibrations", f"{len(differing)} cutoffs differ", _whole(differing)]


def of_groups(rng: np.random.Generator) -> Row:
    """The cutoffs of groups, by crepes' bins."""
    regressor = importlib.import_module("crepes").ConformalRegressor
    pool, risk, differing = Pool.drawn(300, 0.0, 6), Exceeds(FalseNegativeRate(), 0.2), list[int]()
    guarantee = PerGroup(ExpectedRisk(risk, ALPHA), "site")
    for _ in range(CASES // 10):
        rows = rng.permutation(len(pool))[:200]
        scores, labels = pool.scores[rows, :1], pool.labels[rows, :1]
        statistic = guarantee.statistic()
        statistic.update(scores, labels, [pool.meta(row) for row in rows.tolist()])
        critical = torch.cat(risk.critical_scores(scores, labels)[0]).numpy().astype(np.float64)
        fitted = regressor().fit(1 - critical, bins=pool.hard[rows].astype(int))
        both = fitted.predict_int(np.zeros(2), bins=np.array([0, 1]), confidence=1 - ALPHA)[:, 1]
        result = guarantee.calibrate(statistic)
        for name, other in zip(("easy", "hard"), both.tolist(), strict=True):
            group = result.of_group(name)
            if abs(1 - other - group.cutoff[0]) > 1e-9:
                differing.append(group.n[0])
    said = [f"{CASES // 10} calibrations of two groups", f"{len(differing)} of {CASES // 5} cutoffs differ"]
    return [*said, _whole(differing)]


def _whole(numbers: list[int]) -> str:
    """Of the numbers of images of calibrations that differ, in how many the rank is a matter of rounding."""
    whole = sum((n + 1) % round(1 / ALPHA) == 0 for n in numbers)
    return (
        f"in {whole} of these alpha (n + 1) is a whole number, which 1 - 0.9 is a little too small for: theirs is one "
        "score safer"
    )


def bets(rng: np.random.Generator) -> Row:
    """Upper bounds of a mean by bets, by ville: another bet, so that only validity is the same."""
    theirs = importlib.import_module("ville").BettingCS
    parts = []
    for name, draw in (("all or nothing", lambda: rng.random(100) < ALPHA), ("graded", lambda: rng.beta(1, 9, 100))):
        bounds = []
        for _ in range(RUNS):
            risks = np.asarray(draw(), dtype=np.float64)
            other = theirs(alpha=DELTA, theta=1e-9)
            bounds.append([betting_upper_bound(risks, DELTA), float(other.update(risks).interval()[1])])
        low, mean = (np.array(bounds) < ALPHA).mean(0), np.mean(bounds, axis=0)
        parts.append(f"{name}: mean bound {mean[0]:.3f} and {mean[1]:.3f}, too low in {low[0]:.0%} and {low[1]:.0%}")
    said = f"both may be too low in {DELTA:.0%}; ours bets by fixed stakes, theirs by the spread of what was seen"
    return [f"2 x {RUNS} bounds of 100 risks, mean {ALPHA}", "; ".join(parts), said]


COMPARISONS: dict[tuple[str, str], Callable[[np.random.Generator], Row]] = {
    ("hoeffding_bentkus_p_value", "mapie"): p_values,
    ("graphical_test, holm", "statsmodels"): holm,
    ("graphical_test, fixed sequence", "mapie"): fixed_sequence,
    ("ExpectedRisk of Exceeds", "crepes"): of_indicator,
    ("PerGroup", "crepes"): of_groups,
    ("betting_upper_bound", "ville"): bets,
}


def run(inputs: Inputs) -> Content:
    """Every comparison whose package is there."""
    rows, absent = [], []
    for number, ((what, package), compare) in enumerate(progress("references", list(COMPARISONS.items()))):
        try:
            version = importlib.metadata.version(package)
            importlib.import_module(package)
        except ImportError:
            absent.append(package)
            continue
        rows.append([what, f"{package} {version}", *compare(np.random.default_rng(number))])
    return {"rows": rows, "absent": sorted(set(absent))}


def lines(content: Content) -> list[str]:
    """A row per comparison, and what was not there."""
    found = [*paragraphs(TEXT), *table(["here", "there", "compared", "what came out", "why"], content["rows"])]
    return [*found, *paragraphs(f"Not installed: {', '.join(content['absent'])}.")] if content["absent"] else found


def verdict(content: Content) -> str:
    """How often none differed, and which packages were not there."""
    exact = [row for row in content["rows"] if "differ" in row[3]]
    equal = sum(row[3].startswith("0 ") for row in exact)
    absent = f"; not installed: {', '.join(content['absent'])}" if content["absent"] else ""
    return f"{equal} of {len(exact)} are the same in all cases, the others but for the rounding that is named{absent}."


SECTION = Section("The same by other packages", run, lines, verdict, uses_data=False)
