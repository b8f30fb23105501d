# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The statistic of any risk: exactly the cutoff of whoever tries all scores, and refusals where there is none."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from monai_coat.calibration import (
    ExpectedRisk,
    FalseNegativeRate,
    FalsePositiveRatio,
    MapStatistic,
    Risk,
    calibrate,
)
from tests.calibration.images import filled, images, tensors
from tests.calibration.rows import MONOTONE, masks_for

EVERY = pytest.mark.parametrize("risk", MONOTONE.values(), ids=MONOTONE)


class ShareBelow(Risk):
    """A risk that is defined here alone: the share of the whole image below the cutoff, whatever the labels say."""

    name = "share_below"
    words = "share below"

    def image_risk(self, scores, labels, cutoff):
        cutoffs = torch.as_tensor(cutoff, dtype=scores.dtype).expand(scores.shape[:2])
        return (scores < cutoffs.reshape(*cutoffs.shape, 1)).double().mean(-1)


def total(risk, maps, cutoff, index):
    """The summed risk in rational numbers: with at most 14 pixels, denominators are at most 14."""
    rates = [float(risk.image_risk(*tensors(image), cutoff)[0, index]) for image in maps]
    return sum(Fraction(rate).limit_denominator(14) for rate in rates if rate == rate)  # noqa: PLR0124  leaves out NaN


@pytest.mark.parametrize("risk", [ShareBelow(), *MONOTONE.values()], ids=lambda risk: risk.name)
@settings(max_examples=40)
@given(maps=images(6, 12, classes=2, pixels=7), alpha=st.sampled_from([0.25, 0.3, 0.5]))
def test_the_cutoff_is_the_most_useful_one_that_keeps_the_bound(risk, maps, alpha):
    statistic = filled(MapStatistic(risk), maps)
    guarantee = ExpectedRisk(risk, alpha)
    if min(guarantee.budget(n) for n in statistic.n) < 0:
        return
    result = guarantee.calibrate(statistic)
    for index, (cutoff, n) in enumerate(zip(result.cutoff, result.n, strict=True)):
        column = 0 if risk.joint else index
        budget = guarantee.budget(n)
        assert total(risk, maps, cutoff, column) <= budget
        assert result.risk[index] == pytest.approx(float(total(risk, maps, cutoff, column) / n), abs=1e-15)
        scores = {s for image in maps for k, pixels in enumerate(image) if risk.joint or k == index for s, _ in pixels}
        better = [s for s in scores if (s > cutoff if risk.rises else s < cutoff)]
        if better:
            assert total(risk, maps, min(better) if risk.rises else max(better), column) > budget


@EVERY
@settings(max_examples=30)
@given(maps=images(6, 10, classes=2), rows=st.integers(0, 6))
def test_merged_and_reloaded_it_is_the_same(risk, maps, rows):
    first, second = filled(MapStatistic(risk), maps[:rows]), MapStatistic(risk)
    second.load_state_dict(filled(MapStatistic(risk), maps[rows:]).state_dict())
    second.merge(first)
    whole = filled(MapStatistic(risk), maps)
    assert (second.n, second.n_empty) == (whole.n, whole.n_empty)
    if min(whole.n) >= 1:
        guarantee = ExpectedRisk(risk, 0.5)
        assert guarantee.calibrate(second) == guarantee.calibrate(whole)


@EVERY
@given(score=st.floats(-(2.0**100), 2.0**100))
def test_of_double_precision_the_cutoff_is_the_tightest_float32(risk, score):
    # Nine images with one foreground and one background pixel of that score at alpha 0.1: nothing may be lost.
    maps, labels = (
        torch.full((9, 1, 2), score, dtype=torch.float64),
        masks_for(risk, torch.tensor([[[1, 0]]]).expand(9, 1, 2)),
    )
    statistic = MapStatistic(risk)
    statistic.update(maps, labels)
    (cutoff,) = ExpectedRisk(risk, 0.1).calibrate(statistic).cutoff
    assert not bool(risk.image_risk(maps, labels, cutoff).any())
    tighter = float(np.nextafter(np.float32(cutoff), np.float32(np.inf if risk.rises else -np.inf)))
    assert bool(risk.image_risk(maps, labels, tighter).all())
    exact = risk.statistic()
    exact.update(maps, labels)
    assert ExpectedRisk(risk, 0.1).calibrate(exact).cutoff == (cutoff,)


@EVERY
def test_half_precision_and_sizes_may_be_mixed(risk):
    scores = [torch.rand(2, 1, size).to(dtype) for size, dtype in ((5, torch.float16), (9, torch.float32))]
    labels = [masks_for(risk, torch.rand(one.shape) < 0.5) for one in scores]
    whole, halves = MapStatistic(risk), risk.statistic()
    for statistic in (whole, halves):
        for pair in zip(scores, labels, strict=True):
            statistic.update(*pair)
    assert ExpectedRisk(risk, 0.5).calibrate(whole) == ExpectedRisk(risk, 0.5).calibrate(halves)


def test_what_does_not_fit_is_refused():
    statistic = filled(MapStatistic(FalseNegativeRate()), [[[(0.5, True)]]])
    with pytest.raises(TypeError, match="other must be a MapStatistic, got CoverageStatistic"):
        statistic.merge(FalseNegativeRate().statistic())
    other = filled(MapStatistic(FalsePositiveRatio()), [[[(0.5, True)]]])
    with pytest.raises(ValueError, match="other must be of the risk 'false_negative_rate', got one of 'false_positive"):
        statistic.merge(other)
    two = filled(MapStatistic(FalseNegativeRate()), [[[(0.5, True)]] * 2])
    with pytest.raises(ValueError, match="must have the 1 classes of the batches before, got 2"):
        statistic.merge(two)
    assert statistic.n == (1,)


def test_a_risk_that_is_never_small_enough_has_no_cutoff():
    class AtLeastHalf(ShareBelow):
        name = "at_least_half"

        def image_risk(self, scores, labels, cutoff):
            return super().image_risk(scores, labels, cutoff).clamp(min=0.5)

    statistic = filled(MapStatistic(AtLeastHalf()), [[[(0.25, True), (0.5, False)]]] * 9)
    assert calibrate(statistic, guarantee=ExpectedRisk(AtLeastHalf(), 0.6)).risk == (0.5,)
    with pytest.raises(
        ValueError, match=r"within the budget at the safest cutoff, 0\.25, got more; a risk that is not"
    ):
        calibrate(statistic, guarantee=ExpectedRisk(AtLeastHalf(), 0.5))


def test_zero_has_one_sign():
    for zeros in ((0.0, -0.0), (-0.0, 0.0)):
        statistic = filled(MapStatistic(FalseNegativeRate()), [[[(zero, True)]] for zero in zeros])
        assert str(calibrate(statistic, 0.5).cutoff[0]) == "0.0"
        assert not np.signbit(calibrate(statistic, 0.5).cutoff[0])


class SquaredRate(FalseNegativeRate):
    """A risk that is no ratio of numbers of pixels."""

    name: ClassVar[str] = "squared_rate"

    def image_risk(self, scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
        return super().image_risk(scores, labels, cutoff) ** 2


def test_a_risk_that_is_no_ratio_of_pixels_is_not_rounded_down():
    """Nine images of four pixels leave no budget at 0.1: one pixel missed, a risk of 1/16, is too much."""
    statistic = MapStatistic(SquaredRate())
    for _ in range(9):
        statistic.update(torch.tensor([[[0.1, 0.2, 0.3, 0.4]]]), torch.ones(1, 1, 4))
    (solution,) = statistic.solve(lambda n: Fraction(1, 10) * (n + 1) - 1)
    assert solution.cutoff == np.float32(0.1)
