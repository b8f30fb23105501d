# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""AA-CRC's fit and its exact form against general solvers on the same data."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import torch
from monai.utils import optional_import
from scipy import sparse
from scipy.optimize import linprog, minimize
from torch import Tensor

from benchmarks.timing import Row, alternate
from monai_coat.scorers import exact_thresholds, fit_linear_thresholds, linear_threshold_risk

mapie, has_mapie = optional_import("mapie.risk_control.adaptive_conformal_risk_control")

IMAGES, FEATURES, POINTS, NEW, LEVEL = 200, 16, 64, 50, 0.095
FULL = 512
"""The default length of a sketch; the linear program, with a row for each of its points, is solved for fewer."""


def make_images(count: int, seed: int, points: int = POINTS) -> tuple[Tensor, Tensor]:
    """Features, and sketches of foreground scores that depend on three of them."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, FEATURES, generator=generator)
    centers = 1 + features[:, :3].sum(1, keepdim=True) / 2
    return features, torch.sigmoid(centers + torch.randn(count, points, generator=generator)).sort(1).values


def by_linear_program(features: Tensor, sketches: Tensor) -> float:
    """The least objective, by HiGHS with one slack per image and response."""
    design = np.c_[np.ones(len(features)), features.double().numpy()]
    size = sketches.numel()
    cost = np.r_[-LEVEL * design.mean(0), np.full(size, 1 / size)]
    rows = sparse.hstack([sparse.csr_matrix(np.repeat(design, POINTS, 0)), -sparse.eye(size)])
    bounds = [(None, None)] * design.shape[1] + [(0, None)] * size
    return linprog(cost, A_ub=rows, b_ub=sketches.double().numpy().ravel(), bounds=bounds, method="highs").fun


def by_quadrature(features: Tensor, sketches: Tensor) -> float:
    """The authors' way: SLSQP on integrals of the miss by 100 Gauss points, from a random start."""
    design = np.c_[np.ones(len(features)), features.double().numpy()]
    scores = sketches.double().numpy()
    nodes, weights = np.polynomial.legendre.leggauss(100)

    def objective(theta):
        u = np.maximum(design @ theta, 0)
        grid = u[:, None] * (nodes + 1) / 2
        fnr = np.stack([np.searchsorted(s, g) for s, g in zip(scores, grid, strict=True)]) / POINTS
        at = np.array([np.searchsorted(s, g) for s, g in zip(scores, u, strict=True)]) / POINTS
        value = (u / 2 * (weights * fnr).sum(1) - LEVEL * (design @ theta)).mean()
        return value, design.T @ (at - LEVEL) / len(design)

    start = np.random.default_rng(0).random(design.shape[1])
    return minimize(objective, start, jac=True, method="SLSQP", tol=1e-10, options={"maxiter": 1000}).fun


def by_mapie(features: Tensor, sketches: Tensor, new: Tensor) -> tuple[float, float]:
    """Seconds of MAPIE's fit with its defaults, and of its threshold for one new image."""

    def predict(rows, thresholds=None):
        scores = np.asarray(rows)[:, FEATURES:]
        return scores if thresholds is None else scores >= np.asarray(thresholds).reshape(-1, 1)

    rows = np.c_[features.double().numpy(), sketches.double().numpy()]
    controller = mapie.ConditionalExpectedRiskController(
        predict_function=predict,
        feature_map=lambda rows: np.atleast_2d(np.asarray(rows))[:, :FEATURES],
        target_level=0.1,
        risk="recall",
    )
    start = time.perf_counter()
    controller.conformalize(rows, np.ones(sketches.shape))
    middle = time.perf_counter()
    controller.predict(np.c_[new[:1].double().numpy(), sketches[:1].double().numpy()])
    return middle - start, time.perf_counter() - middle


def run(rounds: int = 3) -> list[Row]:
    """Measure with one thread."""
    torch.set_num_threads(1)
    features, sketches = make_images(IMAGES, 0)
    new, _ = make_images(NEW, 1)
    ours = partial(fit_linear_thresholds, features, sketches, LEVEL)
    exact = partial(exact_thresholds, features, sketches, new, 0.1)
    wide = make_images(IMAGES, 0, FULL)
    contestants = {"fit": ours, "exact": exact, "full fit": partial(fit_linear_thresholds, *wide, LEVEL)}
    quick = alternate({**contestants, "full exact": partial(exact_thresholds, *wide, new, 0.1)}, 5 * rounds)
    slow = {"lp": partial(by_linear_program, features, sketches), "slsqp": partial(by_quadrature, features, sketches)}
    times = alternate({"fit": ours, **slow}, rounds)
    least = slow["lp"]()
    risk = linear_threshold_risk(ours(), features, sketches, LEVEL)
    fit, each = quick["fit"].milliseconds, quick["exact"].milliseconds / NEW
    full, full_each = quick["full fit"].milliseconds, quick["full exact"].milliseconds / NEW
    worse = (risk - least) / abs(least)
    name = f"AA-CRC, {IMAGES} images, {FEATURES} features"
    rows = [
        Row(f"{name}: fit, ms", fit, "under 50", fit < 50),
        Row(f"{name}: exact form, ms per new image", each, "under 10", each < 10),
        Row(f"{name}, sketches of {FULL} points: fit, ms", full, "under 50", full < 50),
        Row(f"{name}, sketches of {FULL} points: exact form, ms per new image", full_each, "under 10", full_each < 10),
        Row(f"{name}: objective above the linear program's, relative", worse, "at most 1e-4", worse <= 1e-4),
        Row(f"{name}: linear program by HiGHS / fit", times["lp"].over(times["fit"]), "", True),
        Row(f"{name}: SLSQP on the authors' integral / fit", times["slsqp"].over(times["fit"]), "", True),
        Row(f"{name}: linear program anew / exact form, per image", times["lp"].milliseconds / each, "", True),
    ]
    if not has_mapie:
        print("MAPIE is not installed, and left out; pip install mapie==1.6.0 to have it measured.", flush=True)
        return rows
    whole, one = by_mapie(features, sketches, new)
    return [
        *rows,
        Row(f"{name}: MAPIE's fit / fit", 1e3 * whole / fit, "", True),
        Row(f"{name}: MAPIE, one image / exact form, one image", 1e3 * one / each, "", True),
    ]
