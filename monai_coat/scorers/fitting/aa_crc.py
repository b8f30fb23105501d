# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The fit of AA-CRC: thresholds linear in features, with the right mean FNR weighted by any of these features."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from monai_coat.functional.checks import check_alpha
from monai_coat.scorers.fitting.quantile_regression import COARSE, FINE, WARM, Problem, minimise
from monai_coat.scorers.fitting.vertex_descent import Descent, DescentError

__all__ = ["exact_thresholds", "fit_linear_thresholds", "linear_threshold_risk"]

_RANK = 1e-6
"""Singular values of standardised features below this share of the largest are rounding: features are float32."""


def fit_linear_thresholds(features: Tensor, sketches: Tensor, level: float, ridge: float = 0.0) -> Tensor:
    r"""Fit :math:`\hat\tau(X) = \theta_0 + \Phi(X)^\top \theta` by image-weighted quantile regression.

    .. math:: J(\theta) = \frac{1}{n} \sum_{i=1}^{n} \Big[ \frac{1}{|Y_i|} \sum_{j \in Y_i} (\hat\tau_i - p_{ij})_+
        - a\,\hat\tau_i \Big] + \rho \lVert \theta \rVert^2

    The derivative along a threshold is :math:`\mathrm{FNR}_i - a`, so that at the minimum the FNR is a on average over
    images, and also weighted by any feature. With level :math:`a = \alpha - 1/n` this is AA-CRC as published, whose
    objective is an integral of FNR minus a; the integral is the sum above, in closed form.

    Without a ridge that is a linear program, and it is solved as one: Newton's method on a smoothed hinge leads near a
    corner, from which the descent goes from corner to corner until none is lower. Should rounding keep it from ending,
    Newton's method takes its place. Repeated and constant features do no harm. With a ridge Newton's method goes on,
    until the hinge is rounded over 1e-5 of probability.

    Args:
        features: :math:`\Phi`, ``(n, d)``, without a constant.
        sketches: foreground probabilities ``(n, K)``, see
            :func:`~monai_coat.functional.foreground_sketch`; rows of NaN, which are images without foreground, are left
            out.
        level: a, in (0, 1).
        ridge: :math:`\rho`, for standardised features. The constant is exempt: a penalty on it would move the level
            itself.

    Returns:
        Coefficients ``(d + 1,)`` in float64, the constant first, for features as they were given.

    Raises:
        ValueError: if ``level`` is outside (0, 1) (for :math:`\alpha - 1/n` there are then too few images), ``ridge``
            is negative, shapes disagree, features are not finite, rows of sketches are finite in part, or no
            image has foreground.

    Example:
        >>> sketches = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]])
        >>> theta = fit_linear_thresholds(torch.tensor([[0.0], [1.0]]), sketches, level=0.4)
        >>> (torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64) @ theta).round(decimals=2)
        tensor([0.2000, 0.6000], dtype=torch.float64)

    Source:
        Blot et al., Automatically Adaptive Conformal Risk Control (AISTATS 2025), equations 10 and 24, and the authors'
        segmentation code for the level.
    """
    if not 0 < level < 1:
        raise ValueError(
            f"level must be in (0, 1), got {level}; for alpha - 1/n that takes more than 1/alpha images: enlarge the "
            "calibration set or raise alpha."
        )
    if not 0 <= ridge < math.inf:
        raise ValueError(f"ridge must be finite and not negative, got {ridge}.")
    scaled = _Scaled.of(features, sketches, level, ridge)
    if ridge:
        return scaled.unscaled(minimise(scaled.problem, FINE))
    near = minimise(scaled.problem, COARSE)
    try:
        lowest = _lowest(Descent(scaled.problem), scaled.problem, near)
    except DescentError:
        lowest = minimise(scaled.problem, FINE[len(COARSE) :], near)
    assert lowest is not None  # each term is bounded below, since the level is in (0, 1)
    return scaled.unscaled(lowest)


def exact_thresholds(features: Tensor, sketches: Tensor, test_features: Tensor, alpha: float) -> Tensor:
    r"""Thresholds of new images by AA-CRC's exact form: fitted anew for each, as if it were missed entirely.

    .. math:: \min_\theta\; \frac{1}{n + 1} \Big( \sum_{i=1}^{n} \Big[ \frac{1}{|Y_i|} \sum_{j \in Y_i}
        (\hat\tau_i - p_{ij})_+ - \alpha\,\hat\tau_i \Big] + (1 - \alpha)\,\hat\tau_{n+1} \Big)

    With a constant alone that is conformal risk control. For every combination g of the constant and the features that
    is nowhere negative, such as a group's indicator, and exchangeable images,

    .. math:: E\big[g(X)\,(\mathrm{FNR} - \alpha)\big] \le 0.

    Exactly so for the scores in the sketches, with thresholds rounded to float32 as scores are: the last term is an FNR
    of one at every threshold. In place of the true FNR it can only lower the threshold, and the minimum over all n + 1
    images with their true FNR has that property.

    The minimum lies at minus infinity if and only if the features of the new image, constant included, are no sum
    :math:`\sum_i c_i \Phi(X_i)` with :math:`-1 \le c_i \le \alpha / (1 - \alpha)`: too few images, an image far from
    the others, a group without any. Then no threshold can be promised and the set is the whole image. It is too where
    rounding keeps the search from its end, which no map has been seen to do.

    Args:
        features: ``(n, d)`` of the calibration images, without a constant.
        sketches: their foreground scores ``(n, K)``; rows of NaN are left out.
        test_features: ``(m, d)``.
        alpha: tolerated mean false negative rate, in (0, 1).

    Returns:
        Thresholds ``(m,)`` in float64, minus infinity where the minimum lies there.

    Raises:
        TypeError: if ``alpha`` is no number.
        ValueError: if ``alpha`` is outside (0, 1), ``test_features`` are not finite or not as many as ``features``, and
            as :func:`fit_linear_thresholds`.

    Example:
        >>> sketches = torch.linspace(0, 1, 50).repeat(20, 1)
        >>> exact_thresholds(torch.zeros(20, 0), sketches, torch.zeros(1, 0), alpha=0.1).round(decimals=2)
        tensor([0.0400], dtype=torch.float64)

    Source:
        Blot et al. (AISTATS 2025), equation 24.
    """
    check_alpha(alpha)
    scaled = _Scaled.of(features, sketches, alpha, 0.0)
    _check_test_features(test_features, features.shape[1])
    descent, start = Descent(scaled.problem), minimise(scaled.problem, COARSE)
    n = len(scaled.problem.design)
    thresholds = torch.full((len(test_features),), -math.inf, dtype=torch.float64)
    rows, within = scaled.rows(test_features)
    for index in torch.nonzero(within).flatten().tolist():
        problem = scaled.problem.with_slope((1 - alpha) / n * rows[index])
        with suppress(DescentError):
            lowest = _lowest(descent, problem, minimise(problem, WARM, start))
            if lowest is not None:
                thresholds[index] = rows[index] @ lowest
    return thresholds


def _lowest(descent: Descent, problem: Problem, near: Tensor) -> Tensor | None:
    """Coefficients at the minimum; None if it lies at minus infinity."""
    corner = descent.lowest(descent.near(near), problem.slope)
    return None if corner is None else descent.coefficients(corner)


def linear_threshold_risk(theta: Tensor, features: Tensor, sketches: Tensor, level: float) -> float:
    r"""The objective :math:`J(\theta)` of :func:`fit_linear_thresholds` without its ridge.

    Example:
        >>> linear_threshold_risk(torch.tensor([0.5]), torch.zeros(1, 0), torch.tensor([[0.25, 0.75]]), level=0.5)
        -0.125
    """
    _check(features, sketches)
    has = ~torch.isnan(sketches).any(1)
    design = _with_constant(features[has].double())
    return Problem(design, sketches[has].double(), level).value(theta.double())


@dataclass(frozen=True)
class _Scaled:
    """The problem on standardised features, and without a ridge on an independent basis of them."""

    problem: Problem
    center: Tensor
    spread: Tensor
    basis: Tensor

    @classmethod
    def of(cls, features: Tensor, sketches: Tensor, level: float, ridge: float) -> _Scaled:
        _check(features, sketches)
        has = ~torch.isnan(sketches).any(1)
        features = features[has].detach().cpu().double()
        sketches = sketches[has].detach().cpu().double().sort(1).values.contiguous()
        center = features.mean(0)
        spread = (features - center).square().mean(0).sqrt()
        # Constant features have no spread; on a new image they may differ, which must be seen.
        spread = torch.where(spread > 1e-9 * (1 + center.abs()), spread, 1 + center.abs())
        design = _with_constant((features - center) / spread)
        basis = torch.eye(design.shape[1], dtype=torch.float64) if ridge else _basis(design)
        return cls(Problem(design @ basis, sketches, level, ridge), center, spread, basis)

    def rows(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the design for new images, and whether they are combinations of the old ones at all."""
        full = _with_constant((features.detach().cpu().double() - self.center) / self.spread)
        rows = full @ self.basis
        return rows, (full - rows @ self.basis.T).norm(dim=1) <= 10 * _RANK * full.norm(dim=1)

    def unscaled(self, theta: Tensor) -> Tensor:
        scaled = self.basis @ theta
        slopes = scaled[1:] / self.spread
        return torch.cat([scaled[:1] - slopes @ self.center, slopes])


def _with_constant(features: Tensor) -> Tensor:
    return torch.cat([features.new_ones(len(features), 1), features], 1)


def _basis(design: Tensor) -> Tensor:
    """Orthonormal columns that span the rows of the design."""
    _, sizes, rows = torch.linalg.svd(design, full_matrices=False)
    basis: Tensor = rows[sizes > _RANK * sizes[0]].T.contiguous()
    return basis


def _check(features: Tensor, sketches: Tensor) -> None:
    if features.dim() != 2 or sketches.dim() != 2 or len(features) != len(sketches) or not sketches.shape[1]:
        raise ValueError(
            f"features and sketches must be (n, d) and (n, K), got {tuple(features.shape)} and "
            f"{tuple(sketches.shape)}; fit one class at a time."
        )
    empty = torch.isnan(sketches)
    if bool(empty.any(1).all()):
        raise ValueError("sketches must hold an image with foreground, got none; add images.")
    if not bool(torch.isfinite(features[~empty.any(1)]).all()):
        raise ValueError("features must be finite, got NaN or infinity; look at the embedding.")
    if not torch.equal(empty.any(1), empty.all(1)) or bool(torch.isinf(sketches).any()):
        raise ValueError(
            "sketches must be finite in each row, or NaN in all of it, got a mixture; see foreground_sketch."
        )


def _check_test_features(features: Tensor, count: int) -> None:
    if features.dim() != 2 or features.shape[1] != count:
        raise ValueError(
            f"test_features must be (m, {count}), got {tuple(features.shape)}; they must be those of the calibration "
            "images."
        )
    if not bool(torch.isfinite(features).all()):
        raise ValueError("test_features must be finite, got NaN or infinity; look at the embedding.")
