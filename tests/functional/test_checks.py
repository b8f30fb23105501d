# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What every function of maps refuses, and in which words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_coat.calibration import CoverageStatistic
from monai_coat.functional import (
    coverage_gap,
    exact_level,
    foreground_scores,
    foreground_sketch,
    ideal_threshold,
    images_needed,
    precision,
    relative_set_size,
    set_fraction,
    soft_true_positive_rate,
    target_coverage,
    true_positive_rate,
    uncertain_share,
)
from monai_coat.functional.checks import check_alpha, check_labels, check_temperature
from monai_coat.losses import SoftTPRLoss, ThresholdRegressionLoss

OF_PAIRS = {
    "foreground_scores": foreground_scores,
    "true_positive_rate": lambda s, y: true_positive_rate(s, y, 0.5),
    "soft_true_positive_rate": lambda s, y: soft_true_positive_rate(s, y, 0.1),
    "ideal_threshold": lambda s, y: ideal_threshold(s, y, 0.1),
    "foreground_sketch": lambda s, y: foreground_sketch(s, y, 8),
    "relative_set_size": lambda s, y: relative_set_size(s, y, 0.5),
    "precision": lambda s, y: precision(s, y, 0.5),
    "CoverageStatistic": lambda s, y: CoverageStatistic().update(s, y),
    "SoftTPRLoss": SoftTPRLoss(),
    "ThresholdRegressionLoss": ThresholdRegressionLoss(),
}
OF_MAPS = OF_PAIRS | {
    "set_fraction": lambda s, y: set_fraction(s, 0.5),
    "uncertain_share": lambda s, y: uncertain_share(s),
}
pairs = pytest.mark.parametrize("function", OF_PAIRS.values(), ids=OF_PAIRS.keys())
maps = pytest.mark.parametrize("function", OF_MAPS.values(), ids=OF_MAPS.keys())


@maps
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_scores_that_are_not_finite_are_refused(function, value, dtype):
    scores = torch.full((1, 1, 2, 2), 0.5, dtype=dtype)
    scores[..., 0, 0] = value  # in the background too: a network that gives NaN anywhere is broken
    labels = torch.ones(1, 1, 2, 2)
    labels[..., 0, 0] = 0
    with pytest.raises(ValueError, match=r"must be finite, got NaN or infinity; look at the network's output"):
        function(scores, labels)


@maps
def test_opposite_infinities_do_not_cancel(function):
    scores = torch.tensor([[[float("inf"), -float("inf"), 0.5]]])
    with pytest.raises(ValueError, match=r"must be finite"):
        function(scores, torch.ones(1, 1, 3))


@pairs
@pytest.mark.parametrize(("dtype", "large"), [(torch.float32, 3e38), (torch.float16, 6e4)])
def test_finite_scores_with_an_infinite_sum_are_taken(function, dtype, large):
    function(torch.full((1, 1, 8), large, dtype=dtype), torch.zeros(1, 1, 8))


@maps
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_scores_that_are_no_floats_are_refused(function, dtype):
    with pytest.raises(TypeError, match=rf"must be floating point, got {dtype}; pass probabilities or margins"):
        function(torch.ones(1, 1, 2, dtype=dtype), torch.ones(1, 1, 2))


@maps
def test_arrays_are_refused(function):
    with pytest.raises(TypeError, match=r"must be a torch\.Tensor, got ndarray"):
        function(np.ones((1, 1, 2), np.float32), torch.ones(1, 1, 2))


@maps
def test_missing_axes_are_named(function):
    with pytest.raises(ValueError, match=r"must have shape \(B, C, \*spatial\), got \(4, 4\); add the missing axes"):
        function(torch.rand(4, 4), torch.ones(4, 4))


@maps
@pytest.mark.parametrize("shape", [(0, 1, 4), (2, 0, 4)])
def test_no_image_or_no_class_is_refused(function, shape):
    with pytest.raises(ValueError, match=r"must have at least one image and one class, got shape \(\d, \d, 4\)"):
        function(torch.rand(shape), torch.ones(shape))


@pairs
@pytest.mark.parametrize("shape", [(1, 1, 3, 4), (1, 1, 12), (2, 1, 4, 3), (1, 2, 4, 3)])
def test_shapes_that_differ_are_named(function, shape):
    with pytest.raises(ValueError, match=r"same shape .*got \(1, 1, 4, 3\) and \(.*\); one-hot encode"):
        function(torch.rand(1, 1, 4, 3), torch.ones(shape))


@pairs
@pytest.mark.parametrize(
    "bad",
    [2, 255, 0.5, -1, float("nan"), float("inf")],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_labels_other_than_0_and_1_are_named(function, bad, dtype):
    labels = torch.tensor([[[0, 1, bad, 1]]], dtype=dtype)
    # bfloat16 has 8 bits: 255 and all others of these are exact in it.
    with pytest.raises(ValueError, match=rf"labels must hold only 0 and 1, got {bad:g}; binarise masks"):
        function(torch.rand(1, 1, 4), labels)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64, torch.uint16])
def test_integer_labels_other_than_0_and_1_are_named(dtype):
    with pytest.raises(ValueError, match=r"labels must hold only 0 and 1, got 2;"):
        check_labels(torch.tensor([0, 1, 2], dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64])
def test_labels_of_any_type_become_bool(dtype):
    mask = check_labels(torch.tensor([0, 1, 1], dtype=dtype))
    assert mask.dtype == torch.bool
    assert mask.tolist() == [False, True, True]


@pairs
def test_labels_must_be_a_tensor(function):
    with pytest.raises(TypeError, match=r"labels must be a torch\.Tensor, got list"):
        function(torch.rand(1, 1, 2), [[[0, 1]]])


OF_ALPHA = {
    "check_alpha": check_alpha,
    "exact_level": exact_level,
    "target_coverage": target_coverage,
    "images_needed": images_needed,
    "coverage_gap": lambda alpha: coverage_gap(torch.ones(1, 1), alpha),
    "ideal_threshold": lambda alpha: ideal_threshold(torch.ones(1, 1, 1), torch.ones(1, 1, 1), alpha),
    "SoftTPRLoss": lambda alpha: SoftTPRLoss(alpha=alpha),
    "ThresholdRegressionLoss": lambda alpha: ThresholdRegressionLoss(alpha=alpha),
}
levels = pytest.mark.parametrize("function", OF_ALPHA.values(), ids=OF_ALPHA.keys())


@levels
@pytest.mark.parametrize("alpha", [0, 1, 0.0, 1.0, -0.1, 10, float("nan"), float("inf")])
def test_levels_outside_the_unit_interval_are_refused(function, alpha):
    with pytest.raises(ValueError, match=rf"alpha must be in \(0, 1\), got {float(alpha)}; it is the tolerated mean"):
        function(alpha)


@levels
@pytest.mark.parametrize("alpha", [True, "0.1", None, torch.tensor(0.1), [0.1]])
def test_levels_that_are_no_numbers_are_refused(function, alpha):
    with pytest.raises(TypeError, match=rf"alpha must be a number in \(0, 1\), got {type(alpha).__name__}"):
        function(alpha)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_temperatures_must_be_positive(temperature):
    with pytest.raises(ValueError, match=rf"temperature must be positive and finite, got {float(temperature)}"):
        SoftTPRLoss(temperature=temperature)


@pytest.mark.parametrize("temperature", [True, "0.05", None])
def test_temperatures_must_be_numbers(temperature):
    with pytest.raises(TypeError, match=r"temperature must be a positive number, got"):
        check_temperature(temperature)
