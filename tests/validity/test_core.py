# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The known population: its risks are those of images drawn from it, and calibration is tried on all risks."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.validity.core import ALPHAS, ROWS, population_for, run
from benchmarks.validity.inputs import Inputs, Scale
from benchmarks.validity.population import KNOWN, Population
from monai_coat.calibration import FalseNegativeRate
from tests.calibration.rows import MONOTONE

# With one rater, and nothing to ignore, they are the risk that they are made around.
AROUND_ANOTHER = {"mean_over_raters", "ignoring"}


def test_every_risk_that_goes_one_way_is_known():
    assert {risk.name for risk in KNOWN} == {*MONOTONE} - AROUND_ANOTHER


@pytest.mark.parametrize("risk", KNOWN, ids=lambda risk: risk.name)
def test_the_computed_risk_is_the_mean_over_images(risk):
    population = population_for(risk)
    scores, labels = population.batch(3000, np.random.default_rng(0))
    for cutoff in (0.0, 0.15, 0.5, float(np.nextafter(np.float32(0.5), np.float32(1))), 0.9, 1.0):
        risks = risk.image_risk(scores, labels, cutoff).numpy()
        counted = risks[~np.isnan(risks)]
        known = population.risk(risk, cutoff)
        # Of all or nothing the spread is known, also where only one of them was seen.
        spread = np.sqrt(known * (1 - known)) if np.isin(counted, (0, 1)).all() else counted.std()
        error = spread / np.sqrt(len(scores))  # classes of an image are not independent
        assert abs(counted.mean() - known) <= 4 * error + 1e-12


def test_cutoffs_between_scores_are_those_of_the_next_score():
    population = Population()
    at, above = (population.risk(FalseNegativeRate(), cutoff) for cutoff in (0.505, 0.5051))
    assert at < above == population.risk(FalseNegativeRate(), 0.51)


def test_every_risk_and_statistic_is_tried(tmp_path):
    content = run(Inputs(None, tmp_path, Scale(draws=2)))
    assert {row[0] for row in content["rows"]} == {*MONOTONE} - AROUND_ANOTHER
    assert {row[1] for row in content["rows"] if row[0] == "false_negative_rate"} == {"exact", "binned", "bracket"}
    assert len(content["rows"]) == len(ROWS) * len(ALPHAS)
    by_name = {tuple(row[:3]): row[4] for row in content["rows"]}
    for alpha in ALPHAS:
        exact, binned, bracket = (
            by_name["false_negative_rate", kind, alpha] for kind in ("exact", "binned", "bracket")
        )
        assert exact == bracket
        assert all(np.array(binned) <= np.array(exact))
