# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Calibration by hand, its refusals, and the properties of its cutoff."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import (
    CoverageStatistic,
    ExpectedRisk,
    FalseNegativeRate,
    FalsePositiveRatio,
    as_guarantee,
    calibrate,
    calibrate_maps,
)
from monai_coat.functional import images_needed, true_positive_rate


def maps_of(*images):
    """One-class maps whose pixels are all foreground."""
    maps = [torch.tensor([image], dtype=torch.float32) for image in images]
    return maps, [torch.ones_like(one) for one in maps]


@pytest.mark.parametrize(
    ("alpha", "cutoff", "missed"),
    # Nine images of one pixel, scores 1..9. The budget alpha * 10 - 1 is the number of images that may be missed:
    # 0.1 -> 0; 0.19 -> 0.9; 0.2 -> 1; 0.25 -> 1.5; 0.3 -> 2, though the double 0.3 is less than 3/10; 0.99 -> 8.9.
    [(0.1, 1, 0), (0.19, 1, 0), (0.2, 2, 1), (0.25, 2, 1), (0.3, 3, 2), (0.9, 9, 8), (0.99, 9, 8)],
)
def test_single_pixels_by_hand(alpha, cutoff, missed):
    result = calibrate_maps(*maps_of(*([float(k)] for k in (5, 3, 9, 1, 7, 2, 8, 6, 4))), alpha)
    assert result.cutoff == (float(cutoff),)
    assert result.shift == (-float(cutoff),)
    assert (result.n, result.n_empty, result.alpha) == ((9,), (0,), alpha)
    assert result.risk == (pytest.approx(missed / 9, abs=1e-15),)
    assert f"E[FNR] <= {alpha}" in result.guarantee


def test_images_weigh_the_same_whatever_their_size():
    # alpha = 0.6, n = 4: budget 0.6 * 5 - 1 = 2. Cutoff 0.3 misses both small images, 4 of 204 pixels.
    small, large = [0.1, 0.2], [0.3] * 100
    assert calibrate_maps(*maps_of(small, small, large, large), 0.6).cutoff == (float(np.float32(0.3)),)
    # Here it misses both large images, 200 of 203 pixels, and it is the same risk.
    assert calibrate_maps(*maps_of([0.3, 0.3], [0.3], [0.1] * 100, [0.2] * 100), 0.6).cutoff == (
        float(np.float32(0.3)),
    )


def test_ties_stay_inside_together():
    # n = 4, alpha = 0.4: budget 1. At 0.5 nothing of the tie is missed: sum 3 * 1/4 = 3/4; any larger score misses the
    # ties of three images: 3 * 3/4.
    images = [[0.25, 0.5, 0.5, 0.75]] * 3 + [[0.75] * 4]
    result = calibrate_maps(*maps_of(*images), 0.4)
    assert result.cutoff == (0.5,)
    assert result.risk == (3 / 16,)


def test_classes_are_calibrated_alone():
    # Class 0 has images 0 and 2, class 1 all three. alpha = 0.5: budgets 0.5 * 3 - 1 = 1/2 and 0.5 * 4 - 1 = 1.
    scores = torch.tensor([[[1.0, 2], [10, 20]], [[0, 0], [30, 40]], [[3, 4], [50, 60]]])
    labels = torch.tensor([[[1, 1], [1, 1]], [[0, 0], [1, 1]], [[1, 1], [1, 1]]])
    result = calibrate_maps(list(scores[..., None]), list(labels[..., None]), 0.5)
    # Class 0: at 2 image 0 misses 1/2, at 3 all. Class 1: at 30 image 0 misses all, at 40 image 1 half in addition.
    assert result.cutoff == (2.0, 30.0)
    assert (result.n, result.n_empty) == ((2, 3), (1, 0))
    assert result.risk == (1 / 4, 1 / 3)


def test_one_image():
    # n = 1, alpha = 0.75: budget 0.75 * 2 - 1 = 1/2, so half of the pixels may be missed.
    assert calibrate_maps(*maps_of([4.0, 3.0, 2.0, 1.0]), 0.75).cutoff == (3.0,)
    assert calibrate_maps(*maps_of([7.0]), 0.5).cutoff == (7.0,)


@st.composite
def problems(draw):
    generator = np.random.default_rng(draw(st.integers(0, 2**31)))
    alpha = draw(st.integers(5, 95)) / 100
    n = images_needed(alpha) + draw(st.integers(0, 6))
    scale = draw(st.sampled_from([0.1, 1.0, -1e30, 1e-42]))
    maps = [generator.integers(-3, 4, (1, m)) * scale for m in generator.integers(1, 7, n)]
    return [torch.from_numpy(m).float() for m in maps], alpha


@settings(max_examples=80)
@given(problems())
def test_risk_is_within_its_bound_and_that_of_the_next_score_is_not(problem):
    maps, alpha = problem
    labels, n, level = [torch.ones_like(m) for m in maps], len(maps), Fraction(str(alpha))
    result = calibrate_maps(maps, labels, alpha)

    def total(cutoff):
        return sum(Fraction(int((m < cutoff).sum()), m.numel()) for m in maps)

    cutoff = result.cutoff[0]
    assert total(cutoff) + 1 <= level * (n + 1)
    assert result.risk[0] == pytest.approx(float(total(cutoff) / n), abs=1e-15)
    assert result.risk[0] <= float(level - (1 - level) / n) + 1e-15
    larger = sorted({score for m in maps for score in m.flatten().tolist() if score > cutoff})
    assert not larger or total(larger[0]) + 1 > level * (n + 1)
    coverage = [true_positive_rate(m[None], y[None], cutoff).item() for m, y in zip(maps, labels, strict=True)]
    assert 1 - np.mean(coverage) == pytest.approx(result.risk[0], abs=1e-12)


@settings(max_examples=40)
@given(problems(), st.integers(1, 99))
def test_smaller_alpha_never_gives_a_larger_cutoff(problem, percent):
    maps, alpha = problem
    statistic = CoverageStatistic()
    for one in maps:
        statistic.update(one[None], torch.ones_like(one)[None])
    other = max(alpha, percent / 100)
    assert calibrate(statistic, alpha).cutoff <= calibrate(statistic, other).cutoff


def test_margins_shift_thresholds():
    # COAT: scores p - tau. The mask {p - tau >= cutoff} is {p >= tau - shift}, hence shift = -cutoff.
    margins, labels = maps_of([0.5 - 0.75], [0.25 - 0.125], [0.75 - 0.5])
    result = calibrate_maps(margins, labels, 0.25)
    assert (result.cutoff, result.shift) == ((-0.25,), (0.25,))


@pytest.mark.parametrize(("alpha", "needed"), [(0.1, 9), (0.01, 99), (0.2, 4)])
def test_too_few_images_are_refused_with_the_number_needed(alpha, needed):
    images = maps_of(*[[0.5]] * needed)
    assert calibrate_maps(*images, alpha).n == (needed,)
    few = [part[:-1] for part in images]
    with pytest.raises(
        ValueError,
        match=rf"alpha={alpha} needs at least {needed} calibration images with foreground, got {needed - 1} \(0",
    ):
        calibrate_maps(*few, alpha)


def test_the_class_with_most_images_is_named_where_all_have_too_few():
    absent = torch.tensor([1, 1, 0])[:, None, None].expand(3, 4, 1)
    scores, labels = [torch.rand(3, 4, 1)] * 8, [absent.flip(0).contiguous()] * 7 + [torch.ones(3, 4, 1)]
    with pytest.raises(
        ValueError,
        match=r"needs at least 9 .* with foreground of class 1, got 8 \(0 without foreground were left out\)",
    ):
        calibrate_maps(scores, labels, 0.1)


def test_no_image_and_no_foreground_are_refused():
    with pytest.raises(ValueError, match=r"statistic must hold at least one image, got none; call update"):
        calibrate(CoverageStatistic(), 0.1)
    with pytest.raises(ValueError, match=r"scores must hold at least one map, got none"):
        calibrate_maps([], [], 0.1)
    with pytest.raises(ValueError, match=r"needs at least 1 .*, got 0 \(3 without foreground were left out\)"):
        calibrate_maps([torch.rand(1, 2)] * 3, [torch.zeros(1, 2)] * 3, 0.5)


@pytest.mark.parametrize("alpha", [0, 1, -0.1, float("nan")])
def test_levels_outside_the_unit_interval_are_refused(alpha):
    for maps in ([], [torch.rand(1, 2)]):  # before anything is read
        with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\), got"):
            calibrate_maps(maps, maps, alpha)
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\), got"):
        calibrate(CoverageStatistic(), alpha)


@pytest.mark.parametrize("alpha", [True, "0.1", [0.1]])
def test_levels_that_are_no_numbers_are_refused(alpha):
    with pytest.raises(TypeError, match=r"alpha must be a number in \(0, 1\), got"):
        calibrate_maps([], [], alpha)
    with pytest.raises(TypeError, match=r"alpha must be a number in \(0, 1\), got"):
        calibrate(CoverageStatistic(), alpha)
    with pytest.raises(TypeError, match=r"alpha must be a number in \(0, 1\), got"):
        ExpectedRisk(FalseNegativeRate(), alpha)


def test_a_level_alone_is_short_for_the_expected_false_negative_rate():
    images = maps_of([0.2, 0.8], [0.4, 0.9], [0.6, 0.7])
    assert ExpectedRisk() == ExpectedRisk(FalseNegativeRate(), 0.1) == as_guarantee(None, 0.1)
    assert calibrate_maps(*images, 0.5) == calibrate_maps(*images, guarantee=ExpectedRisk(alpha=0.5))


def test_neither_or_both_or_something_else_is_refused():
    for settings_ in ({}, {"alpha": 0.1, "guarantee": ExpectedRisk()}):
        with pytest.raises(TypeError, match="alpha or guarantee must be given, and not both"):
            calibrate(CoverageStatistic(), **settings_)
        with pytest.raises(TypeError, match="alpha or guarantee must be given, and not both"):
            calibrate_maps([], [], **settings_)
    for other in (0.1, FalseNegativeRate(), ExpectedRisk):
        with pytest.raises(TypeError, match="guarantee must be a Guarantee such as ExpectedRisk"):
            calibrate(CoverageStatistic(), guarantee=other)


def test_the_budget_is_a_rational_number_of_the_decimal_that_alpha_prints_as():
    # The double 0.3 is below 3/10, and ten images at it may lose 0.3 * 10 - 1 = 2 exactly, not a hair less.
    assert ExpectedRisk(alpha=0.3).budget(9) == 2
    assert ExpectedRisk(alpha=0.1).budget(9) == 0
    assert ExpectedRisk(alpha=0.1).budget(8) == Fraction(-1, 10)


def test_the_promise_names_the_risk_and_the_level():
    assert ExpectedRisk(alpha=0.05).promise == "E[FNR] <= 0.05"
    assert (
        ExpectedRisk(FalsePositiveRatio(), np.float64(0.1)).promise == "E[min(1, false positives / foreground)] <= 0.1"
    )
