# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The known population: its risks are those of images drawn from it, and calibration is tried on all risks."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.validity.core import ALPHAS, ROWS, run
from benchmarks.validity.inputs import Inputs, Scale
from benchmarks.validity.population import Population
from monai_coat.calibration import RISKS


@pytest.mark.parametrize("name", RISKS)
def test_the_computed_risk_is_the_mean_over_images(name):
    population = Population()
    scores, labels = population.batch(3000, np.random.default_rng(0))
    for cutoff in (0.0, 0.15, 0.5, float(np.nextafter(np.float32(0.5), np.float32(1))), 0.9, 1.0):
        risks = RISKS[name]().image_risk(scores, labels, cutoff).numpy()
        counted = risks[~np.isnan(risks)]
        error = counted.std() / np.sqrt(len(scores))  # classes of an image are not independent
        assert abs(counted.mean() - population.risk(name, cutoff)) <= 4 * error + 1e-12


def test_cutoffs_between_scores_are_those_of_the_next_score():
    population = Population()
    at, above = (population.risk("false_negative_rate", cutoff) for cutoff in (0.505, 0.5051))
    assert at < above == population.risk("false_negative_rate", 0.51)


def test_every_risk_and_statistic_is_tried(tmp_path):
    content = run(Inputs(None, tmp_path, Scale(draws=2)))
    assert {row[0] for row in content["rows"]} == set(RISKS)
    assert {row[1] for row in content["rows"] if row[0] == "false_negative_rate"} == {"exact", "binned", "bracket"}
    assert len(content["rows"]) == len(ROWS) * len(ALPHAS)
    by_name = {tuple(row[:3]): row[4] for row in content["rows"]}
    for alpha in ALPHAS:
        exact, binned, bracket = (
            by_name["false_negative_rate", kind, alpha] for kind in ("exact", "binned", "bracket")
        )
        assert exact == bracket
        assert all(np.array(binned) <= np.array(exact))
