# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Temperatures of the soft rate while thresholds are learned."""

from __future__ import annotations

import pytest
import torch

from monai_coat.scorers import PredictedMaps
from monai_coat.scorers.fitting.gradient_descent import _temperatures, learn_thresholds

SKETCHES = torch.linspace(0, 1, 9).repeat(3, 1, 1)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (0.05, [0.05, 0.05, 0.05]),
        ([0.4, 0.1], [0.4, 0.2, 0.1]),
        # Two places from either end of nine even scores lie 0.25 and 0.875 (of the ascending ones): half of 0.625.
        ("spread", [0.3125] * 3),
    ],
)
def test_temperatures_of_three_epochs(setting, expected):
    assert _temperatures(setting, SKETCHES, 3) == pytest.approx(expected)


def test_a_loss_without_temperature_has_none():
    assert _temperatures(None, SKETCHES, 2) == [None, None]


def test_a_falling_temperature_learns_something_else():
    generator = torch.Generator().manual_seed(0)
    probs = torch.rand(40, 1, 12, 12, generator=generator) * torch.rand(40, 1, 1, 1, generator=generator)
    label = torch.rand(40, 1, 12, 12, generator=generator) < probs
    maps = PredictedMaps(tuple(map(str, range(40))), torch.zeros(40, 3, 12, 12, dtype=torch.uint8), label, probs)
    loss = {"_target_": "monai_coat.losses.SoftTPRLoss"}
    (fixed, losses_fixed), (falling, losses_falling) = (
        learn_thresholds(maps, 0.1, 0, {**loss, "temperature": temperature}, epochs=4)
        for temperature in (0.05, [0.5, 0.05])
    )
    assert losses_fixed[0] != losses_falling[0]
    thresholds = (scorer.predictor.of_summaries(maps.summaries) for scorer in (fixed, falling))
    assert not torch.equal(*thresholds)
