# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One cutoff for all classes: the worst class of each image is missed as agreed."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import CoverageStatistic, calibrate, calibrate_worst_class

LEVELS = [0.1, 0.125, 0.25, 0.3]
# Few values, so that ties within and between images and classes are the rule.
values = st.sampled_from([-0.5, 0.0, 0.25, 0.5, 0.75, 1.0])
pixel = st.tuples(values, st.booleans())
image = st.lists(st.lists(pixel, min_size=4, max_size=4), min_size=2, max_size=2)
images = st.lists(image, min_size=12, max_size=16)


def statistic_of(maps):
    statistic = CoverageStatistic()
    for each in maps:
        scores = torch.tensor([[[score for score, _ in row] for row in each]])
        statistic.update(scores, torch.tensor([[[inside for _, inside in row] for row in each]]))
    return statistic


def worst_share(each, cutoff):
    """The oracle's worst class, in rational numbers; None without foreground."""
    shares = []
    for row in each:
        scores = [score for score, inside in row if inside]
        if scores:
            shares.append(Fraction(sum(score < cutoff for score in scores), len(scores)))
    return max(shares, default=None)


def by_trying_all(maps, alpha):
    """The largest score that keeps the bound, or None if none does."""
    present = [each for each in maps if worst_share(each, 0.0) is not None]
    budget = Fraction(str(alpha)) * (len(present) + 1) - 1
    scores = sorted({score for each in present for row in each for score, inside in row if inside})
    return max((c for c in scores if sum(worst_share(each, c) for each in present) <= budget), default=None)


@given(images, st.sampled_from(LEVELS))
def test_the_cutoff_is_the_largest_that_keeps_the_bound(maps, alpha):
    expected = by_trying_all(maps, alpha)
    n = sum(worst_share(each, 0.0) is not None for each in maps)
    if alpha * (n + 1) < 1:
        with pytest.raises(ValueError, match="needs at least"):
            calibrate_worst_class(statistic_of(maps), alpha)
        return
    result = calibrate_worst_class(statistic_of(maps), alpha)
    assert result.cutoff == (expected, expected)
    assert result.n == (n, n)
    assert result.n_empty == (len(maps) - n,) * 2


@settings(max_examples=25)
@given(images, st.sampled_from(LEVELS[2:]))
def test_leaving_one_out_the_worst_class_is_missed_as_agreed(maps, alpha):
    present = [each for each in maps if worst_share(each, 0.0) is not None]
    if Fraction(str(alpha)) * len(present) < 1:
        return
    total = Fraction(0)
    for out, each in enumerate(present):
        rest = present[:out] + present[out + 1 :]
        total += worst_share(each, calibrate_worst_class(statistic_of(rest), alpha).cutoff[0])
    assert total <= Fraction(str(alpha)) * len(present)


@settings(max_examples=25)
@given(images, images)
def test_merged_it_is_the_same_in_any_order(first, second):
    one, other = statistic_of(first), statistic_of(second)
    one.merge(other)
    turned = statistic_of(second)
    turned.merge(statistic_of(first))
    try:
        expected = calibrate_worst_class(statistic_of(first + second), 0.25)
    except ValueError:
        return
    assert calibrate_worst_class(one, 0.25) == expected == calibrate_worst_class(turned, 0.25)


def test_one_class_alone_is_the_ordinary_calibration():
    generator = torch.Generator().manual_seed(0)
    statistic = CoverageStatistic()
    statistic.update(torch.rand(40, 1, 9, generator=generator), torch.rand(40, 1, 9, generator=generator) < 0.4)
    ordinary, worst = calibrate(statistic, 0.1), calibrate_worst_class(statistic, 0.1)
    assert (worst.cutoff, worst.n, worst.n_empty) == (ordinary.cutoff, ordinary.n, ordinary.n_empty)
    assert worst.risk == pytest.approx(ordinary.risk)
    assert worst.controls == "worst_miss"
    assert ordinary.controls == "miss"


def test_it_promises_more_than_each_class_alone():
    generator = torch.Generator().manual_seed(1)
    statistic = CoverageStatistic()
    statistic.update(torch.rand(60, 3, 9, generator=generator), torch.ones(60, 3, 9))
    assert calibrate_worst_class(statistic, 0.2).cutoff[0] < min(calibrate(statistic, 0.2).cutoff)


def test_an_empty_statistic_is_refused():
    with pytest.raises(ValueError, match="needs at least 9 calibration images with foreground, got 0"):
        calibrate_worst_class(CoverageStatistic(), 0.1)
