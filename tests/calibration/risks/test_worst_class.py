# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One cutoff for all classes: the worst class of an image is missed as agreed."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import (
    CoverageStatistic,
    ExpectedRisk,
    WorstClassFalseNegativeRate,
    WorstClassStatistic,
    calibrate,
)
from tests.calibration.images import filled, images, tensors, worst_miss_rate

MAPS = images(12, 16, classes=2, pixels=4)


def calibrated(maps, alpha):
    return calibrate(filled(WorstClassStatistic(), maps), guarantee=ExpectedRisk(WorstClassFalseNegativeRate(), alpha))


@given(images(1, 4, classes=3, pixels=4), st.sampled_from([-1.0, 0.0, 0.25, 0.3, 2.0]))
def test_the_risk_is_that_of_the_class_missed_most(maps, cutoff):
    for image in maps:
        risk = WorstClassFalseNegativeRate().image_risk(*tensors(image), cutoff)
        expected = worst_miss_rate(image, cutoff)
        assert risk.shape == (1, 1)
        assert risk.dtype == torch.float64
        assert bool(risk.isnan()) if expected is None else float(risk) == float(expected)


def test_each_image_of_a_batch_has_its_risk_and_each_class_its_cutoff():
    # Image 0 misses 1 of 2 and 0 of 2 at (0.5, 0.5), image 1 has the second class alone and misses all of it, image 2
    # has none. At the cutoffs (0.1, 0.9) image 0 misses 0 and 1 of 2, image 1 all.
    scores = torch.tensor([[[0.2, 0.8], [0.8, 1.0]], [[0.2, 0.2], [0.2, 0.3]], [[0.1, 0.1]] * 2])
    labels = torch.tensor([[[1, 1], [1, 1]], [[0, 0], [1, 1]], [[0, 0], [0, 0]]])
    risk = WorstClassFalseNegativeRate()
    assert risk.image_risk(scores, labels, 0.5)[:, 0].nan_to_num(-1).tolist() == [0.5, 1.0, -1.0]
    per_class = risk.image_risk(scores, labels, torch.tensor([0.1, 0.9]))
    assert per_class[:, 0].nan_to_num(-1).tolist() == [0.5, 1.0, -1.0]


@settings(max_examples=25)
@given(MAPS, st.sampled_from([0.25, 0.3]))
def test_leaving_one_out_the_worst_class_is_missed_as_agreed(maps, alpha):
    present = [image for image in maps if worst_miss_rate(image, 0.0) is not None]
    if Fraction(str(alpha)) * len(present) < 1:
        return
    total = Fraction(0)
    for out, image in enumerate(present):
        total += worst_miss_rate(image, calibrated(present[:out] + present[out + 1 :], alpha).cutoff[0])
    assert total <= Fraction(str(alpha)) * len(present)


def test_one_class_alone_is_the_ordinary_calibration():
    generator = torch.Generator().manual_seed(0)
    batch = torch.rand(40, 1, 9, generator=generator), torch.rand(40, 1, 9, generator=generator) < 0.4
    statistic, joint = CoverageStatistic(), WorstClassStatistic()
    statistic.update(*batch)
    joint.update(*batch)
    ordinary = calibrate(statistic, 0.1)
    worst = calibrate(joint, guarantee=ExpectedRisk(WorstClassFalseNegativeRate(), 0.1))
    assert (worst.cutoff, worst.n, worst.n_empty) == (ordinary.cutoff, ordinary.n, ordinary.n_empty)
    assert worst.risk == pytest.approx(ordinary.risk)
    assert worst.controls == "worst_class_false_negative_rate"
    assert ordinary.controls == "false_negative_rate"
    assert worst.guarantee.startswith("E[FNR of the image's worst class] <= 0.1 on average over new images with foregr")


def test_it_promises_more_than_each_class_alone():
    batch = torch.rand(60, 3, 9, generator=torch.Generator().manual_seed(1)), torch.ones(60, 3, 9)
    statistic, joint = CoverageStatistic(), WorstClassStatistic()
    statistic.update(*batch)
    joint.update(*batch)
    worst = calibrate(joint, guarantee=ExpectedRisk(WorstClassFalseNegativeRate(), 0.2))
    assert worst.cutoff[0] < min(calibrate(statistic, 0.2).cutoff)
