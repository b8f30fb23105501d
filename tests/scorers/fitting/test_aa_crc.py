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

from monai_coat.calibration import calibrate_maps
from monai_coat.scorers import exact_thresholds, fit_linear_thresholds, linear_threshold_risk


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


def risk(theta, features, sketches, level):
    return linear_threshold_risk(theta, features, sketches, level)


@pytest.mark.parametrize(("n", "d", "k"), [(60, 0, 40), (60, 5, 40), (40, 12, 30), (15, 20, 10), (30, 3, 1)])
@pytest.mark.parametrize("level", [0.02, 0.2, 0.9])
@pytest.mark.parametrize("steps", [None, 10])
def test_the_fit_reaches_the_minimum_of_the_linear_program(n, d, k, level, steps):
    features, sketches = images(n, d, k)
    sketches = sketches if steps is None else (sketches * steps).round() / steps  # many responses tie
    found = risk(fit_linear_thresholds(features, sketches, level), features, sketches, level)
    least = linear_program(features, sketches, level).fun
    # HiGHS itself stops at a tolerance of 1e-7.
    assert found == pytest.approx(least, rel=1e-6, abs=1e-9)


def test_with_a_ridge_the_gradient_vanishes():
    """The feature is standardised already, so that the ridge acts on its coefficient as it is."""
    features, sketches = images(60, 1, 200)
    features = (features - features.mean()) / features.std(correction=0)
    theta = fit_linear_thresholds(features, sketches, 0.1, ridge=0.02)
    design = torch.cat([torch.ones(60, 1), features], 1).double()
    missed = (sketches < (design @ theta)[:, None]).double().mean(1) - 0.1
    penalty = torch.tensor([0.0, 2 * 0.02 * float(theta[1])])
    # One response of one image, times the largest feature, is the step of the gradient; two may lie in the bend.
    assert float((design.T @ missed / 60 + penalty).abs().max()) <= 2 * float(design.abs().max()) / 200 / 60


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


def crc_cutoff(sketches, alpha):
    ones = [torch.ones(1, sketches.shape[1])] * len(sketches)
    return calibrate_maps([s[None] for s in sketches], ones, alpha=alpha).cutoff[0]


def of_constant(sketches, alpha):
    nothing = torch.zeros(len(sketches), 0)
    return float(exact_thresholds(nothing, sketches, nothing[:1], alpha).float())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(10, 40), st.sampled_from([0.1, 0.137, 0.25]))
def test_with_a_constant_alone_the_exact_form_is_conformal_risk_control(seed, n, alpha):
    """Both are the largest threshold whose misses sum to at most alpha (n + 1) - 1.

    Where they can sum to it exactly, every threshold between two scores is a minimiser, and CRC takes the upper one.
    """
    _, sketches = images(n, 0, 37, seed)
    cutoff, found = crc_cutoff(sketches, alpha), of_constant(sketches, alpha)
    budget = (alpha * (n + 1) - 1) * 37
    if abs(budget - round(budget)) > 1e-6:
        assert found == cutoff
    else:
        scores = sketches.flatten().sort().values
        assert found in (cutoff, float(scores[scores < cutoff].max()) if cutoff > float(scores[0]) else cutoff)


def test_with_just_enough_images_the_exact_form_takes_the_lowest_score():
    """With alpha (n + 1) = 1 nothing may be missed; with one image less nothing can be promised."""
    _, sketches = images(9, 0, 20)
    assert of_constant(sketches, 0.1) == crc_cutoff(sketches, 0.1) == float(sketches.min())
    assert of_constant(sketches[:8], 0.1) == -torch.inf


def test_the_miss_is_right_against_every_feature():
    features, sketches = images(80, 6, 60)
    theta = fit_linear_thresholds(features, sketches, 0.15)
    design = torch.cat([torch.ones(80, 1), features], 1).double()
    fnr = (sketches < (design @ theta)[:, None]).double().mean(1)
    # At the minimum some of the d + 1 responses that are fitted exactly lie astride: each is one of 60 of its image.
    step = float(design.abs().max()) * 7 / 60 / 80
    assert float((design.T @ (fnr - 0.15) / 80).abs().max()) <= step


def excess_of_each_left_out(features, sketches, alpha):
    """FNR minus alpha of every image, at the threshold that the others give it."""
    excess = []
    for out in range(len(features)):
        rest = torch.arange(len(features)) != out
        threshold = exact_thresholds(features[rest], sketches[rest], features[out : out + 1], alpha).float()
        excess.append((sketches[out] < threshold).double().mean() - alpha)
    return torch.stack(excess)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.2, 0.3]), st.booleans())
def test_the_exact_form_keeps_its_promise_in_each_group(seed, alpha, ties):
    """Leave one image out of a finite set, for every image: a theorem, so that chance plays no part.

    The last group has one image, which nobody can promise anything to: its threshold must be minus infinity.
    """
    generator = np.random.default_rng(seed)
    groups = torch.from_numpy(generator.permutation([0] * 9 + [1] * 7 + [2]))
    sketches = np.sort(generator.random((17, 12)) * (1.0 - 0.3 * groups.numpy()[:, None]), 1)
    sketches = torch.from_numpy(np.round(sketches * 8) / 8 if ties else sketches).float()
    excess = excess_of_each_left_out(torch.nn.functional.one_hot(groups).float(), sketches, alpha)
    for group in range(3):
        assert float(excess[groups == group].sum()) <= 1e-6
    assert float(excess[groups == 2]) == pytest.approx(-alpha)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.15, 0.3]))
def test_the_exact_form_keeps_its_promise_against_features_that_are_not_negative(seed, alpha):
    generator = np.random.default_rng(seed)
    features = torch.from_numpy(generator.random((18, 2))).float()
    sketches = torch.from_numpy(np.sort(generator.random((18, 12)) * (0.3 + 0.7 * features[:, :1].numpy()), 1)).float()
    excess = excess_of_each_left_out(features, sketches, alpha)
    weights = torch.cat([torch.ones(18, 1), features, 1 - features], 1).double()
    assert float((weights.T @ excess).max()) <= 1e-5


def test_a_warm_start_ends_where_a_cold_one_does():
    """The linear program is solved anew for each image, and it is known whether that has an answer."""
    features, sketches = images(60, 4, 50)
    new = torch.randn(8, 4, generator=torch.Generator().manual_seed(9))
    found = exact_thresholds(features, sketches, new, 0.1)
    for row, threshold in zip(new, found, strict=True):
        extra = 0.9 / 60 * np.r_[1.0, row.double().numpy()]
        program = linear_program(features, sketches, 0.1, extra)
        design = torch.cat([torch.ones(1), row]).double()
        assert float(design @ torch.from_numpy(program.x[:5])) == pytest.approx(float(threshold), abs=1e-6)
        alone = exact_thresholds(features, sketches, row[None], 0.1)
        assert float(alone) == float(threshold)


def is_promisable(features, row, alpha):
    """Whether the row is a sum of the others with weights from -1 to alpha / (1 - alpha), by a linear program."""
    design = np.c_[np.ones(len(features)), features.double().numpy()]
    bounds = [(-1, alpha / (1 - alpha))] * len(features)
    target = np.r_[1.0, row.double().numpy()]
    return linprog(np.zeros(len(features)), A_eq=design.T, b_eq=target, bounds=bounds, method="highs").status == 0


@pytest.mark.parametrize(("n", "d", "alpha"), [(12, 1, 0.1), (30, 3, 0.1), (40, 8, 0.2)])
def test_the_whole_image_is_taken_exactly_where_nothing_can_be_promised(n, d, alpha):
    features, sketches = images(n, d, 25)
    new = torch.randn(20, d, generator=torch.Generator().manual_seed(5)) * torch.linspace(0.2, 5, 20)[:, None]
    finite = torch.isfinite(exact_thresholds(features, sketches, new, alpha))
    expected = [is_promisable(features, row, alpha) for row in new]
    assert finite.tolist() == expected
    assert {True, False} == set(expected)


def test_a_feature_that_only_the_new_image_shows_takes_it_whole():
    _, sketches = images(30, 0, 20)
    old, new = torch.full((30, 1), 7.0), torch.tensor([[7.0], [8.0]])
    found = exact_thresholds(old, sketches, new, 0.1)
    assert float(found[0].float()) == of_constant(sketches, 0.1)
    assert found[1] == -torch.inf


def test_thresholds_do_not_depend_on_the_unit_of_features():
    features, sketches = images(50, 4, 40)
    scale, shift = torch.tensor([1e-3, 1.0, 50.0, 1e4]), torch.tensor([5.0, 0.0, -3.0, 1e3])
    for ridge in (0.0, 1e-2):
        plain = fit_linear_thresholds(features, sketches, 0.1, ridge)
        other = fit_linear_thresholds(features * scale + shift, sketches, 0.1, ridge)
        thresholds = [t[0] + f.double() @ t[1:] for t, f in ((plain, features), (other, features * scale + shift))]
        torch.testing.assert_close(*thresholds, atol=1e-4, rtol=0)


def test_a_constant_or_repeated_feature_does_no_harm():
    features, sketches = images(50, 2, 40)
    more = torch.cat([features, torch.full((50, 1), 7.0), features[:, :1]], 1)
    values = [
        linear_threshold_risk(fit_linear_thresholds(f, sketches, 0.1), f, sketches, 0.1) for f in (features, more)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-6)


def test_the_order_of_scores_does_not_matter():
    features, sketches = images(30, 2, 40)
    found = fit_linear_thresholds(features, sketches.flip(1), 0.1)
    torch.testing.assert_close(found, fit_linear_thresholds(features, sketches, 0.1))


def test_images_without_foreground_are_left_out():
    features, sketches = images(30, 2, 40)
    more = torch.cat([sketches, torch.full((5, 40), torch.nan)])
    found = fit_linear_thresholds(torch.cat([features, torch.randn(5, 2)]), more, 0.1)
    torch.testing.assert_close(found, fit_linear_thresholds(features, sketches, 0.1))
    values = (
        risk(found, f, s, 0.1) for f, s in ((torch.cat([features, torch.randn(5, 2)]), more), (features, sketches))
    )
    assert next(values) == pytest.approx(next(values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 0.1 - 1 / 8}, r"level must be in \(0, 1\), got -0.02.*more than 1/alpha images"),
        ({"ridge": -1.0}, "ridge must be finite and not negative, got -1.0"),
        ({"ridge": float("nan")}, "ridge must be finite and not negative, got nan"),
        ({"sketches": torch.tensor([[0.1, torch.nan]] * 4 + [[0.1, 0.2]] * 4)}, "sketches must be finite in each row"),
        ({"sketches": torch.tensor([[0.1, torch.inf]] * 8)}, "sketches must be finite in each row"),
        ({"features": torch.rand(9, 2)}, r"features and sketches must be \(n, d\) and \(n, K\), got \(9, 2\)"),
        ({"features": torch.full((8, 2), torch.nan)}, "features must be finite"),
        ({"sketches": torch.full((8, 5), torch.nan)}, "sketches must hold an image with foreground, got none"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = {"features": torch.rand(8, 2), "sketches": torch.rand(8, 5).sort(1).values, "level": 0.1, "ridge": 0.0}
    with pytest.raises(ValueError, match=message):
        fit_linear_thresholds(**(arguments | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 1.5}, r"alpha must be in \(0, 1\), got 1.5"),
        ({"test_features": torch.zeros(1, 3)}, r"test_features must be \(m, 2\), got \(1, 3\)"),
        ({"test_features": torch.full((1, 2), torch.nan)}, "test_features must be finite"),
    ],
)
def test_bad_arguments_of_the_exact_form_are_named(change, message):
    arguments = {"features": torch.rand(30, 2), "sketches": torch.rand(30, 5), "test_features": torch.rand(1, 2)}
    with pytest.raises(ValueError, match=message):
        exact_thresholds(**({"alpha": 0.1} | arguments | change))


def test_where_rounding_keeps_the_descent_from_ending_the_fit_is_newton_s_and_nothing_is_promised(monkeypatch):
    features, sketches = images(60, 4, 50)
    fitted = fit_linear_thresholds(features, sketches, 0.1)
    monkeypatch.setattr("monai_coat.scorers.fitting.vertex_descent._CORNERS", 0)
    near = fit_linear_thresholds(features, sketches, 0.1)
    values = [linear_threshold_risk(theta, features, sketches, 0.1) for theta in (fitted, near)]
    assert values[0] <= values[1] <= values[0] + 1e-4 * abs(values[0])
    new = torch.randn(5, 4, generator=torch.Generator().manual_seed(9))
    assert exact_thresholds(features, sketches, new, 0.1).isneginf().all()


def test_maps_of_8_bit_with_thousands_of_equal_scores_have_an_end():
    generator = torch.Generator().manual_seed(4)
    features = torch.randn(80, 6, generator=generator)
    scores = torch.sigmoid(6 * torch.randn(80, 256, generator=generator) + 4 + 2 * features[:, :1])
    sketches = ((scores * 255).round() / 255).sort(1).values
    thresholds = exact_thresholds(features, sketches, features[:12] + 0.1, alpha=0.1)
    assert torch.isfinite(thresholds).all()
