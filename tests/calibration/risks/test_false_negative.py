# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The false negative rate: counted by hand, and calibrated from foreground scores alone."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.calibration import CoverageStatistic, FalseNegativeRate
from tests.calibration.images import images, miss_rate, tensors


@given(images(1, 4, classes=2), st.sampled_from([-1.0, 0.0, 0.25, 0.3, 2.0]))
def test_the_risk_is_counted_pixel_by_pixel(maps, cutoff):
    for image in maps:
        risk = FalseNegativeRate().image_risk(*tensors(image), cutoff)
        assert risk.shape == (1, 2)
        assert risk.dtype == torch.float64
        for rate, pixels in zip(risk[0].tolist(), image, strict=True):
            expected = miss_rate(pixels, cutoff)
            assert math.isnan(rate) if expected is None else rate == float(expected)


def test_a_score_equal_to_the_cutoff_is_not_missed():
    scores, labels = torch.tensor([[[0.25, 0.5, 0.5, 0.75]]]), torch.ones(1, 1, 4)
    assert FalseNegativeRate().image_risk(scores, labels, 0.5).tolist() == [[0.25]]


def test_it_is_said_and_collected_as_it_should_be():
    risk = FalseNegativeRate()
    assert (risk.key, risk.words, risk.counted) == ("false_negative_rate", "FNR", "images with foreground")
    assert risk.rises
    assert not risk.joint
    assert type(risk.statistic()) is CoverageStatistic


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        FalseNegativeRate().image_risk(torch.tensor([[[torch.nan]]]), torch.ones(1, 1, 1), 0.5)
