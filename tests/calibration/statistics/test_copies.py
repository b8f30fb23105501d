# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""An image that is there several times is said, whatever the way into a calibration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from monai_coat.calibration import (
    BinnedStatistic,
    CoverageStatistic,
    ExpectedRisk,
    FalseNegativeRate,
    FalsePositiveRatio,
    MapStatistic,
    WorstClassFalseNegativeRate,
    calibrate,
    calibrate_maps,
)
from monai_coat.calibration.statistics.copies import copies_of
from monai_coat.handlers import ConformalCalibration

WARNING = "calibration images must be different ones, got {} with the very same scores as another, such as image {}"


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(12, 2, 10, 10, generator=generator)
    return scores, torch.rand(12, 2, 10, 10, generator=generator) < scores


@pytest.mark.parametrize("risk", [FalseNegativeRate, FalsePositiveRatio, WorstClassFalseNegativeRate])
def test_copies_are_said_once(images, risk, caplog):
    scores, labels = (torch.cat([each] * 4) for each in images)
    assert calibrate_maps(scores, labels, guarantee=ExpectedRisk(risk(), 0.2)).n == (48, 48)
    assert [record.getMessage() for record in caplog.records] == [
        WARNING.format("36 of 48", "13 and image 1 of them; leave copies out.")
    ]


def test_a_handler_says_them_too(images, caplog):
    engine = Engine(lambda engine, batch: batch)
    ConformalCalibration(alpha=0.2).attach(engine)
    engine.run([images] * 2)
    assert WARNING.format("12 of 24", "13 and image 1 of them") in caplog.text


def test_so_do_maps_and_merged_statistics(images, caplog):
    statistic = MapStatistic(FalseNegativeRate())
    statistic.update(*(each[[0, 1, 2, 3, 1]] for each in images))
    calibrate(statistic, alpha=0.2)
    assert WARNING.format("1 of 5", "5 and image 2 of them") in caplog.text
    caplog.clear()
    parts = [CoverageStatistic() for _ in range(2)]
    for part in parts:
        part.update(*images)
    parts[0].merge(parts[1])
    calibrate(parts[0], alpha=0.2)
    assert WARNING.format("12 of 24", "13 and image 1 of them") in caplog.text


def test_images_alike_by_chance_and_sums_say_nothing(images, caplog):
    sure = torch.ones(12, 1, 8, 8)
    calibrate_maps(torch.cat([sure, sure * 0.5]), torch.ones(24, 1, 8, 8), alpha=0.2)
    few = torch.arange(8.0).repeat(12, 1, 1, 8) / 8
    calibrate_maps(few, torch.ones_like(few), alpha=0.2)
    calibrate_maps(*images, alpha=0.2)
    statistic = BinnedStatistic(0.0, 1.0)
    statistic.update(*(torch.cat([each] * 2) for each in images))
    calibrate(statistic, alpha=0.2)
    assert "very same scores" not in caplog.text


def test_what_differs_in_one_score_is_no_copy():
    scores = np.random.default_rng(0).random(10_000, dtype=np.float32)
    other = scores.copy()
    other[5001] += 1e-3
    assert copies_of({3: scores, 5: other, 9: scores.copy()}) == {9: 3}
    assert copies_of({0: scores, 1: scores[::-1], 2: scores[:-1]}) == {}
