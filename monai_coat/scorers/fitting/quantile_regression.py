# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Quantile regression with many responses per row, by Newton's method on ever sharper hinges.

Tested by tests/scorers/fitting/test_aa_crc.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

__all__: list[str] = []

COARSE = (1.0, 0.3, 0.1, 0.03, 0.01)
WARM = (0.02, 0.005)
FINE = (*COARSE, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
_STEPS = 20
_REACH = 30
"""Widths that a step may move a fitted value by."""


@dataclass(frozen=True)
class Problem:
    r"""A function to minimise, with :math:`u = D\theta`.

    .. math:: \frac1n \sum_i \Big[\frac1K \sum_k (u_i - q_{ik})_+ - a u_i\Big]
        + \rho \lVert\theta_{1:}\rVert^2 + s^\top\theta

    Attributes:
        design: D, ``(n, d)``, its first column a constant.
        responses: q, ``(n, K)``, ascending.
        level: a.
        ridge: :math:`\rho`.
        slope: s, ``(d,)``, or None for zero.
    """

    design: Tensor
    responses: Tensor
    level: float
    ridge: float = 0.0
    slope: Tensor | None = None

    @cached_property
    def sums(self) -> tuple[Tensor, Tensor]:
        """Running sums of the responses and of their squares, each ``(n, K + 1)``."""
        zero = self.responses.new_zeros(len(self.responses), 1)
        powers = (self.responses, self.responses.square())
        first, second = (torch.cat([zero, power.cumsum(1)], 1) for power in powers)
        return first, second

    def with_slope(self, slope: Tensor) -> Problem:
        """The same with a linear term."""
        other = replace(self, slope=slope)
        other.__dict__.update(sums=self.sums)
        return other

    def value(self, theta: Tensor) -> float:
        """The objective without smoothing."""
        u = self.design @ theta
        hinge = torch.relu(u[:, None] - self.responses).mean(1)
        return float((hinge - self.level * u).mean()) + self._rest(theta)

    def _rest(self, theta: Tensor) -> float:
        rest = self.ridge * float(theta[1:] @ theta[1:])
        return rest if self.slope is None else rest + float(self.slope @ theta)

    def bend(self, theta: Tensor, width: float) -> _Bend:
        """Where thresholds stand among the responses, if the corner is rounded over ``width`` on both sides of it."""
        return _Bend(self, theta, width)


class _Bend:
    """The objective with a parabola in place of the corner, at most a quarter of the width above it."""

    def __init__(self, problem: Problem, theta: Tensor, width: float) -> None:
        self.problem, self.theta, self.width = problem, theta, width
        self.u = problem.design @ theta
        # Responses are sorted and their running sums kept, so that an image costs two searches, whatever its size.
        ends = torch.stack([self.u - width, self.u + width], 1)
        places = torch.searchsorted(problem.responses, ends)
        first, second = (running.gather(1, places) for running in problem.sums)
        self.below, self.within = places[:, 0].double(), (places[:, 1] - places[:, 0]).double()
        self.sum_below = first[:, 0]
        self.sum_within, self.squares_within = first[:, 1] - first[:, 0], second[:, 1] - second[:, 0]

    def value(self) -> float:
        """The smoothed objective."""
        problem, size, end = self.problem, self.problem.responses.shape[1], self.u + self.width
        squares = self.within * end.square() - 2 * end * self.sum_within + self.squares_within
        hinge = (self.below * self.u - self.sum_below + squares / (4 * self.width)) / size
        return float((hinge - problem.level * self.u).mean()) + problem._rest(self.theta)

    def derivatives(self) -> tuple[Tensor, Tensor]:
        """Gradient and Hessian of :meth:`value`."""
        problem, (n, size) = self.problem, self.problem.responses.shape
        missed = (self.below + (self.within * (self.u + self.width) - self.sum_within) / (2 * self.width)) / size
        gradient = problem.design.T @ (missed - problem.level) / n
        curvature = self.within / (2 * self.width * n * size)
        hessian = (problem.design.T * curvature) @ problem.design
        gradient[1:] += 2 * problem.ridge * self.theta[1:]
        hessian.diagonal()[1:] += 2 * problem.ridge
        return (gradient if problem.slope is None else gradient + problem.slope), hessian


def minimise(problem: Problem, widths: tuple[float, ...], start: Tensor | None = None) -> Tensor:
    """Coefficients near the minimum, as near as the last of the widths over which the corner is rounded."""
    theta = _cold(problem) if start is None else start
    # From wide to narrow: a sharp corner has curvature at its responses only, and Newton's step from afar is worth
    # nothing; each width starts where the wider one has come to rest.
    for width in widths:
        for _ in range(_STEPS):
            here = problem.bend(theta, width)
            step, gain = _newton(here)
            if gain < 1e-6 * width:  # far less than rounding the corner has moved the minimum by
                break
            theta, moved = _search(here, step, gain)
            if not moved:
                break
    return theta


def _cold(problem: Problem) -> Tensor:
    theta = problem.design.new_zeros(problem.design.shape[1])
    # One threshold for all images, their common quantile; torch's quantile refuses 2^24 numbers and more.
    theta[0] = problem.responses.flatten().quantile(problem.level) if problem.responses.numel() < 2**24 else 0.5
    return theta


def _newton(here: _Bend) -> tuple[Tensor, float]:
    """Newton's step and the decrease that it promises."""
    gradient, hessian = here.derivatives()
    # Where no response lies within the bend there is no curvature: a little of it, and a bound, keep the step in reach.
    damping = 1e-6 * hessian.diagonal().max() + 1e-9
    step = -torch.linalg.solve(hessian + damping * torch.eye(len(gradient), dtype=hessian.dtype), gradient)
    longest = float((here.problem.design @ step).abs().max())
    step = step * min(1.0, _REACH * here.width / max(longest, 1e-300))
    return step, -float(gradient @ step)


def _search(here: _Bend, step: Tensor, gain: float) -> tuple[Tensor, bool]:
    """Halve the step until it brings a share of what it promised."""
    before, length = here.value(), 1.0
    for _ in range(30):
        moved = here.theta + length * step
        if here.problem.bend(moved, here.width).value() <= before - 1e-4 * length * gain:
            return moved, True
        length /= 2
    return here.theta, False
