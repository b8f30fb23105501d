# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""AA-CRC against the linear program it is, the integral its authors minimise, and the promise of its exact form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linprog, minimize

from monai_coat.calibration import (
    calibrate_maps,
    exact_thresholds,
    fit_linear_thresholds,
    linear_threshold_risk,
)


def images(n, d, k, seed=0):
    """Features, and ascending foreground scores in (0, 1) that depend on them."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, d, generator=generator)
    level = 0.5 * features[:, : max(d // 2, 1)].sum(1, keepdim=True) if d else torch.zeros(n, 1)
    return features, torch.sigmoid(level + torch.randn(n, k, generator=generator)).sort(1).values


def linear_program(features, sketches, level, extra=None):
    """The minimum by HiGHS, and a minimiser: one slack per image and response."""
    design = np.c_[np.ones(len(features)), features.double().numpy()]
    responses = sketches.double().numpy()
    n, k = responses.shape
    cost = np.r_[-level * design.mean(0) + (0 if extra is None else extra), np.full(n * k, 1 / (n * k))]
    rows = sparse.hstack([sparse.csr_matrix(np.repeat(design, k, 0)), -sparse.eye(n * k)])
    bounds = [(None, None)] * design.shape[1] + [(0, None)] * (n * k)
    return linprog(cost, A_ub=rows, b_ub=responses.ravel(), bounds=bounds, method="highs")


def authors_objective(theta, features, sketches, level, points=100):
    """Mean over images of the integral of FNR minus the level from -100 to the threshold, by Gauss quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    total = 0.0
    for phi, scores in zip(features.double().numpy(), sketches.double().numpy(), strict=True):
        u = theta[0] + phi @ theta[1:]
        below = -level * (min(u, 0.0) + 100)
        if u > 0:
            grid = u * (nodes + 1) / 2
            fnr = (scores[None] < grid[:, None]).mean(1)
            below += u / 2 * (weights * (fnr - level)).sum()
        total += below
    return total / len(features)


@pytest.mark.parametrize(("n", "d", "k"), [(60, 0, 40), (60, 5, 40), (40, 12, 30)])
@pytest.mark.parametrize("level", [0.05, 0.2])
def test_the_fit_reaches_the_minimum_of_the_linear_program(n, d, k, level):
    features, sketches = images(n, d, k)
    theta = fit_linear_thresholds(features, sketches, level)
    found, least = (
        linear_threshold_risk(theta, features, sketches, level),
        linear_program(features, sketches, level).fun,
    )
    assert least - 1e-12 <= found <= least + 1e-4 * abs(least)


def test_the_objective_is_the_authors_integral_up_to_its_constant():
    features, sketches = images(30, 3, 2000)
    theta = np.array([0.4, 0.05, -0.1, 0.02])
    ours = linear_threshold_risk(torch.from_numpy(theta), features, sketches, 0.1)
    theirs = authors_objective(theta, features, sketches, 0.1) + 0.1 * 100
    assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)


def test_the_authors_solver_does_no_better():
    features, sketches = images(40, 3, 200)
    ours = fit_linear_thresholds(features, sketches, 0.1)
    start = np.random.default_rng(0).random(4)
    theirs = minimize(authors_objective, start, (features, sketches, 0.1), method="SLSQP", options={"maxiter": 300})
    values = (linear_threshold_risk(torch.as_tensor(t), features, sketches, 0.1) for t in (ours, theirs.x))
    assert next(values) <= next(values) + 1e-6


def test_with_a_constant_alone_the_fit_is_the_image_weighted_quantile():
    _, sketches = images(25, 0, 40)
    threshold = float(fit_linear_thresholds(torch.zeros(25, 0), sketches, 0.1))
    assert (
        float((sketches < threshold - 1e-3).double().mean())
        <= 0.1
        <= float((sketches < threshold + 1e-3).double().mean())
    )


def test_with_a_constant_alone_the_exact_form_is_conformal_risk_control():
    _, sketches = images(25, 0, 40)
    cutoff = calibrate_maps([s[None] for s in sketches], [torch.ones(1, 40)] * 25, alpha=0.1).cutoff[0]
    found = float(exact_thresholds(torch.zeros(25, 0), sketches, torch.zeros(1, 0), 0.1))
    assert found == pytest.approx(cutoff, abs=1e-3)


def test_the_miss_is_right_against_every_feature():
    features, sketches = images(80, 6, 60)
    theta = fit_linear_thresholds(features, sketches, 0.15)
    design = torch.cat([torch.ones(80, 1), features], 1).double()
    fnr = (sketches < (design @ theta)[:, None]).double().mean(1)
    # At the minimum some of the d + 1 responses that are fitted exactly lie astride: each is one of 60 of its image.
    step = float(design.abs().max()) * 7 / 60 / 80
    assert float((design.T @ (fnr - 0.15) / 80).abs().max()) <= step


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.2, 0.3]))
def test_the_exact_form_keeps_its_promise_in_each_group(seed, alpha):
    """Leave one image out of a finite set, for every image: a theorem, so that chance plays no part."""
    generator = np.random.default_rng(seed)
    n, k = 16, 25
    group = torch.from_numpy(generator.permutation(np.arange(n) % 2)).float()[:, None]
    sketches = torch.from_numpy(np.sort(generator.random((n, k)) * (0.4 + 0.6 * group.numpy()), 1)).float()
    excess = torch.zeros(2, dtype=torch.float64)
    for out in range(n):
        rest = torch.arange(n) != out
        threshold = exact_thresholds(group[rest], sketches[rest], group[out : out + 1], alpha)
        # A threshold within the last smoothing of a score is at it, and a score at it is inside.
        fnr = (sketches[out].double() < threshold - 3e-4).double().mean()
        excess[int(group[out])] += fnr - alpha
    assert (excess <= 1e-9).all()


def test_a_warm_start_ends_where_a_cold_one_does():
    features, sketches = images(60, 4, 50)
    new = torch.randn(5, 4, generator=torch.Generator().manual_seed(9))
    found = exact_thresholds(features, sketches, new, 0.1)
    for row, threshold in zip(new, found, strict=True):
        extra = 0.9 / 60 * np.r_[1.0, row.double().numpy()]
        program = linear_program(features, sketches, 0.1, extra)
        design = torch.cat([torch.ones(1), row]).double()
        assert float(design @ torch.from_numpy(program.x[:5])) == pytest.approx(float(threshold), abs=5e-3)


def test_an_image_unlike_all_others_is_taken_whole():
    features, sketches = images(30, 1, 40)
    far = torch.tensor([[0.0], [1e4]])
    found = exact_thresholds(features, sketches, far, 0.1)
    assert torch.isfinite(found[0])
    assert found[1] == -torch.inf


def test_thresholds_do_not_depend_on_the_unit_of_features():
    features, sketches = images(50, 4, 40)
    scale, shift = torch.tensor([1e-3, 1.0, 50.0, 1e4]), torch.tensor([5.0, 0.0, -3.0, 1e3])
    for ridge in (0.0, 1e-2):
        plain = fit_linear_thresholds(features, sketches, 0.1, ridge)
        other = fit_linear_thresholds(features * scale + shift, sketches, 0.1, ridge)
        thresholds = [t[0] + f.double() @ t[1:] for t, f in ((plain, features), (other, features * scale + shift))]
        torch.testing.assert_close(*thresholds, atol=2e-3, rtol=0)


def test_a_constant_or_repeated_feature_does_no_harm():
    features, sketches = images(50, 2, 40)
    more = torch.cat([features, torch.full((50, 1), 7.0), features[:, :1]], 1)
    values = [
        linear_threshold_risk(fit_linear_thresholds(f, sketches, 0.1), f, sketches, 0.1) for f in (features, more)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-6)


def test_images_without_foreground_are_left_out():
    features, sketches = images(30, 2, 40)
    more = torch.cat([sketches, torch.full((5, 40), torch.nan)])
    found = fit_linear_thresholds(torch.cat([features, torch.randn(5, 2)]), more, 0.1)
    torch.testing.assert_close(found, fit_linear_thresholds(features, sketches, 0.1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 0.1 - 1 / 8}, r"level must be in \(0, 1\), got -0.02.*more than 1/alpha images"),
        ({"ridge": -1.0}, "ridge must not be negative, got -1.0"),
        ({"features": torch.rand(9, 2)}, r"features and sketches must be \(n, d\) and \(n, K\), got \(9, 2\)"),
        ({"features": torch.full((8, 2), torch.nan)}, "features must be finite"),
        ({"sketches": torch.full((8, 5), torch.nan)}, "sketches must hold an image with foreground, got none"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = {"features": torch.rand(8, 2), "sketches": torch.rand(8, 5).sort(1).values, "level": 0.1, "ridge": 0.0}
    with pytest.raises(ValueError, match=message):
        fit_linear_thresholds(**(arguments | change))
