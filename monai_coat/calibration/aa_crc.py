# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""AA-CRC: thresholds linear in features, fitted so that the miss is right against every one of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from monai_coat.calibration._quantile_regression import Problem, minimise
from monai_coat.functional import exact_level

__all__ = ["exact_thresholds", "fit_linear_thresholds", "linear_threshold_risk"]


def fit_linear_thresholds(features: Tensor, sketches: Tensor, level: float, ridge: float = 0.0) -> Tensor:
    r"""Fit :math:`\hat\tau(X) = \theta_0 + \Phi(X)^\top \theta` by image-weighted quantile regression.

    .. math:: J(\theta) = \frac{1}{n} \sum_{i=1}^{n} \Big[ \frac{1}{|Y_i|} \sum_{j \in Y_i} (\hat\tau_i - p_{ij})_+
        - a\,\hat\tau_i \Big] + \rho \lVert \theta \rVert^2

    The derivative along a threshold is :math:`\mathrm{FNR}_i - a`, so that at the minimum the miss is a on average over
    images, and also weighted by any feature. With level :math:`a = \alpha - 1/n` this is AA-CRC as published, whose
    objective is an integral of FNR minus a; the integral is the sum above, in closed form.

    Solved by Newton's method on a smoothed hinge whose width shrinks; the minimum is that of the linear program to
    1e-4 of its value and better.

    Args:
        features: :math:`\Phi`, ``(n, d)``, without a constant.
        sketches: ascending foreground scores ``(n, K)``, see :func:`~monai_coat.functional.foreground_sketch`; rows of
            NaN, which are images without foreground, are left out.
        level: a, in (0, 1).
        ridge: :math:`\rho`, for standardised features. The constant is exempt: a penalty on it would move the level
            itself.

    Returns:
        Coefficients ``(d + 1,)`` in float64, the constant first, for features as they were given.

    Raises:
        ValueError: if ``level`` is outside (0, 1) (for :math:`\alpha - 1/n` there are then too few images), ``ridge``
            is negative, shapes disagree, features are not finite, or no image has foreground.

    Example:
        >>> sketches = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]])
        >>> theta = fit_linear_thresholds(torch.tensor([[0.0], [1.0]]), sketches, level=0.4)
        >>> (torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64) @ theta).round(decimals=2)
        tensor([0.2000, 0.6000], dtype=torch.float64)

    Source:
        Blot et al., Automatically Adaptive Conformal Risk Control (AISTATS 2025), equations 10 and 24, and the authors'
        segmentation code for the level.
    """
    scaled = _Scaled.of(features, sketches, level, ridge)
    return scaled.unscaled(minimise(scaled.problem))


def exact_thresholds(features: Tensor, sketches: Tensor, test_features: Tensor, alpha: float) -> Tensor:
    r"""Thresholds of new images by AA-CRC's exact form: fitted anew for each, as if it were missed entirely.

    .. math:: \min_\theta\; \frac{1}{n + 1} \Big( \sum_{i=1}^{n} \Big[ \frac{1}{|Y_i|} \sum_{j \in Y_i}
        (\hat\tau_i - p_{ij})_+ - \alpha\,\hat\tau_i \Big] + (1 - \alpha)\,\hat\tau_{n+1} \Big)

    With a constant alone that is conformal risk control. With features, images exchangeable, and g one of them or a
    non-negative sum of them, :math:`E[g(X)\,(\mathrm{FNR} - \alpha)] \le 0` up to one pixel's step.

    Args:
        features: ``(n, d)`` of the calibration images, without a constant.
        sketches: their ascending foreground scores ``(n, K)``; rows of NaN are left out.
        test_features: ``(m, d)``.
        alpha: tolerated mean false negative rate, in (0, 1).

    Returns:
        Thresholds ``(m,)`` in float64; minus infinity, the whole image, where the test image is so unlike the others
        that the minimum lies there.

    Raises:
        ValueError: as :func:`fit_linear_thresholds`.

    Example:
        >>> sketches = torch.linspace(0, 1, 50).repeat(20, 1)
        >>> exact_thresholds(torch.zeros(20, 0), sketches, torch.zeros(1, 0), alpha=0.1).round(decimals=2)
        tensor([0.0400], dtype=torch.float64)

    Source:
        Blot et al. (AISTATS 2025), equation 24.
    """
    scaled = _Scaled.of(features, sketches, alpha, 0.0)
    start = minimise(scaled.problem)
    rows = scaled.design(test_features)
    n = len(scaled.problem.design)
    thresholds = []
    for row in rows:
        theta = minimise(scaled.problem.with_slope((1 - alpha) / n * row), start, far=row)
        value = theta @ row
        thresholds.append(value if value >= scaled.problem.floor else value.new_tensor(-torch.inf))
    return torch.stack(thresholds) if thresholds else rows.new_zeros(0)


def linear_threshold_risk(theta: Tensor, features: Tensor, sketches: Tensor, level: float) -> float:
    r"""The objective :math:`J(\theta)` of :func:`fit_linear_thresholds` without its ridge.

    Example:
        >>> linear_threshold_risk(torch.tensor([0.5]), torch.zeros(1, 0), torch.tensor([[0.25, 0.75]]), level=0.5)
        -0.125
    """
    design = torch.cat([torch.ones(len(features), 1), features], 1).double()
    return Problem(design, sketches.double(), level).value(theta.double())


@dataclass(frozen=True)
class _Scaled:
    """The problem on standardised features, on which one ridge and one step length fit all of them."""

    problem: Problem
    center: Tensor
    spread: Tensor

    @classmethod
    def of(cls, features: Tensor, sketches: Tensor, level: float, ridge: float) -> _Scaled:
        _check(features, sketches, level, ridge)
        has = ~torch.isnan(sketches).any(1)
        features, sketches = features[has].double(), sketches[has].double()
        center = features.mean(0)
        spread = (features - center).square().mean(0).sqrt()
        # A feature that is the same on all images tells nothing, and is left alone.
        spread = torch.where(spread > 1e-9 * (1 + center.abs()), spread, torch.inf)
        scaled = cls(Problem(torch.empty(0, 0), sketches, level, ridge), center, spread)
        return cls(Problem(scaled.design(features), sketches, level, ridge), center, spread)

    def design(self, features: Tensor) -> Tensor:
        scaled = (features.double() - self.center) / self.spread
        return torch.cat([scaled.new_ones(len(scaled), 1), scaled], 1)

    def unscaled(self, theta: Tensor) -> Tensor:
        slopes = theta[1:] / self.spread
        return torch.cat([theta[:1] - slopes @ self.center, slopes])


def _check(features: Tensor, sketches: Tensor, level: float, ridge: float) -> None:
    if not 0 < level < 1:
        raise ValueError(
            f"level must be in (0, 1), got {level}; for alpha - 1/n that takes more than 1/alpha images: enlarge the "
            "calibration set or raise alpha."
        )
    exact_level(level)
    if ridge < 0:
        raise ValueError(f"ridge must not be negative, got {ridge}.")
    if features.dim() != 2 or sketches.dim() != 2 or len(features) != len(sketches):
        raise ValueError(
            f"features and sketches must be (n, d) and (n, K), got {tuple(features.shape)} and "
            f"{tuple(sketches.shape)}; fit one class at a time."
        )
    if not bool(torch.isfinite(features).all()):
        raise ValueError("features must be finite, got NaN or infinity; look at the embedding.")
    if bool(torch.isnan(sketches).any(1).all()):
        raise ValueError("sketches must hold an image with foreground, got none; add images.")
