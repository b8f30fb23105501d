# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Kernel ridge regression, against scikit-learn and against leaving images out one by one."""

from __future__ import annotations

import pytest
import torch
from sklearn.kernel_ridge import KernelRidge as Reference

from monai_coat.functional import KernelRidge, gaussian_kernel

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(40, 3, generator=GENERATOR)
TARGETS = torch.stack([INPUTS[:, 0].sin(), INPUTS[:, 1] * INPUTS[:, 2]], 1)
QUERIES = torch.randn(9, 3, generator=GENERATOR)


def test_predictions_are_those_of_scikit_learn():
    ours = KernelRidge(INPUTS, torch.tensor(5.0), 1.0).predict(QUERIES, TARGETS)
    theirs = Reference(alpha=1.0, kernel="rbf", gamma=1 / 5).fit(INPUTS, TARGETS - TARGETS.mean(0)).predict(QUERIES)
    assert torch.allclose(ours, torch.as_tensor(theirs).float() + TARGETS.mean(0), atol=1e-5)


def test_left_out_is_what_the_others_say():
    ridge = KernelRidge(INPUTS, torch.tensor(5.0), 3.0)
    centred = TARGETS - TARGETS.mean(0)
    for place in (0, 17, 39):
        kept = torch.arange(len(INPUTS)) != place
        kernel = gaussian_kernel(INPUTS[kept], INPUTS[kept], ridge.width) + ridge.ridge * torch.eye(39)
        weights = torch.linalg.solve(kernel, centred[kept])
        expected = gaussian_kernel(INPUTS[~kept], INPUTS[kept], ridge.width) @ weights + TARGETS.mean(0)
        assert torch.allclose(ridge.left_out(TARGETS)[place], expected[0], atol=1e-5)


def test_the_choice_has_the_least_error_on_images_left_out():
    median = torch.cdist(INPUTS, INPUTS).square().median()
    tried = [KernelRidge(INPUTS, factor * median, ridge) for factor in (2, 4, 8, 16) for ridge in (1, 3, 10, 30)]
    errors = [float((TARGETS - each.left_out(TARGETS)).square().mean()) for each in tried]
    chosen = KernelRidge.fit(INPUTS, TARGETS)
    assert float((TARGETS - chosen.left_out(TARGETS)).square().mean()) == pytest.approx(min(errors), rel=1e-4)


def test_far_away_it_says_the_mean():
    ridge = KernelRidge.fit(INPUTS, TARGETS)
    assert torch.allclose(ridge.predict(torch.full((1, 3), 1e3), TARGETS), TARGETS.mean(0)[None])


def test_images_do_not_change_each_other():
    alone = gaussian_kernel(QUERIES[:1], INPUTS, torch.tensor(5.0))
    assert torch.equal(gaussian_kernel(QUERIES.repeat(5, 1), INPUTS, torch.tensor(5.0))[:1], alone)


def test_a_group_is_left_out_as_if_it_had_never_been_there():
    inputs, targets, groups = INPUTS[:20], TARGETS[:20], torch.arange(20) // 5
    ridge = KernelRidge(inputs, torch.tensor(3.0), 0.7)
    left = ridge.left_out(targets, groups)
    mean = targets.mean(0)
    for group in range(4):
        rest = groups != group
        others = KernelRidge(inputs[rest], ridge.width, ridge.ridge)
        kernel = gaussian_kernel(inputs[~rest], inputs[rest], ridge.width)
        assert torch.allclose(left[~rest], mean + kernel @ others.inverse @ (targets[rest] - mean), atol=1e-4)
    assert torch.equal(ridge.left_out(targets, torch.arange(20)), ridge.left_out(targets))
