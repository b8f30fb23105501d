# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The capped false positive ratio is controlled as what is missed is, and its cap is said."""

from __future__ import annotations

from fractions import Fraction

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import ExpectedRisk, FalsePositiveRatio, FalsePositiveStatistic, calibrate
from tests.calibration.images import false_positive_ratio, filled, images, tensors


def cutoff_of(maps, alpha):
    statistic = filled(FalsePositiveStatistic(), maps)
    return calibrate(statistic, guarantee=ExpectedRisk(FalsePositiveRatio(), alpha)).cutoff[0]


@given(images(1, 4), st.sampled_from([-1.0, 0.0, 0.25, 0.3, 2.0]))
def test_the_risk_is_counted_pixel_by_pixel(maps, cutoff):
    for image in maps:
        risk = FalsePositiveRatio().image_risk(*tensors(image), cutoff)
        expected = false_positive_ratio(image[0], cutoff)
        assert risk.shape == (1, 1)
        assert risk.dtype == torch.float64
        assert bool(risk.isnan()) if expected is None else float(risk) == float(expected)


@settings(max_examples=50)
@given(images(8, 14), st.sampled_from([0.25, 0.3, 0.5]))
def test_leaving_one_out_false_positives_are_as_agreed(maps, alpha):
    maps = [image for image in maps if false_positive_ratio(image[0], 0.0) is not None]
    if Fraction(str(alpha)) * len(maps) < 1:
        return
    total = Fraction(0)
    for out, image in enumerate(maps):
        total += false_positive_ratio(image[0], cutoff_of(maps[:out] + maps[out + 1 :], alpha))
    assert total <= Fraction(str(alpha)) * len(maps)


def test_the_words_say_the_cap_and_which_images_count():
    guarantee = ExpectedRisk(FalsePositiveRatio(), 0.1)
    statistic = guarantee.statistic()
    statistic.update(torch.rand(20, 2, 30), torch.rand(20, 2, 30) < 0.3)
    result = guarantee.calibrate(statistic)
    assert result.controls == "false_positive_ratio"
    assert result.guarantee.startswith(
        "E[min(1, false positives / foreground)] <= 0.1 on average over new images with foreground and background"
    )
    assert len(result.cutoff) == 2


def test_what_is_promised_is_the_capped_mean_and_not_the_ratio_itself():
    # Five of a hundred images have two pixels of foreground and 300 of background at the top: capped they lose 1, as
    # they are 150. At alpha 0.1 all five may be lost, so that the mean ratio of the calibration images alone is 7.5.
    scores, labels = torch.rand(100, 1, 1000), torch.zeros(100, 1, 1000)
    labels[:, :, :200], scores[:, :, 200:] = 1, scores[:, :, 200:] * 0.3
    labels[:5, :, 2:], scores[:5, :, 2:302] = 0, 1.0
    guarantee = ExpectedRisk(FalsePositiveRatio(), 0.1)
    statistic = guarantee.statistic()
    statistic.update(scores, labels)
    result = guarantee.calibrate(statistic)
    falsely = ((scores >= result.cutoff[0]) & (labels == 0)).sum(-1) / labels.sum(-1)
    assert float(falsely.mean()) >= 7.5
    assert float(falsely.double().clamp(max=1).mean()) <= 0.1
