# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The false discovery rate, counted by hand, and that it goes no one way."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.calibration import Exceeds, FalseDiscoveryRate
from tests.calibration.images import images, tensors


@given(images(1, 4, classes=2), st.sampled_from([-1.0, 0.0, 0.25, 0.3, 2.0]))
def test_the_risk_is_counted_pixel_by_pixel(maps, cutoff):
    for image in maps:
        risk = FalseDiscoveryRate().image_risk(*tensors(image), cutoff)
        assert risk.dtype == torch.float64
        for rate, pixels in zip(risk[0].tolist(), image, strict=True):
            marked = [inside for score, inside in pixels if score >= cutoff]
            expected = Fraction(marked.count(False), len(marked)) if marked else Fraction(0)
            assert str(rate) == (str(float(expected)) if any(inside for _, inside in pixels) else "nan")


def test_it_rises_where_foreground_leaves_the_set_first():
    scores, labels = torch.tensor([[[0.9, 0.8, 0.7]]]), torch.tensor([[[0, 1, 0]]])
    risk = FalseDiscoveryRate()
    rates = [float(risk.image_risk(scores, labels, cutoff)) for cutoff in (0.5, 0.75, 0.85, 0.95)]
    assert rates == [2 / 3, 0.5, 1.0, 0.0]
    assert not risk.monotone


def test_it_is_said_as_it_should_be():
    risk = FalseDiscoveryRate()
    assert (risk.key, risk.words, risk.counted) == ("false_discovery_rate", "FDR", "images with foreground")
    assert Exceeds(risk, 0.2).expected_words == "P(FDR > 0.2)"
    with pytest.raises(TypeError, match="must go one way with the cutoff"):
        Exceeds(risk, 0.2).critical_scores(torch.rand(1, 1, 3), torch.ones(1, 1, 3))
