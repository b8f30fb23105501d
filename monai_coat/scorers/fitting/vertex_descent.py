# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The exact minimum of a quantile regression, by descent from vertex to vertex of its linear program.

Tested by tests/scorers/fitting/test_aa_crc.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.scorers.fitting.quantile_regression import Problem

__all__: list[str] = []

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_TIE = 1e-6
"""Share of the responses' range that keeps equal ones apart, so that no two corners are the same point."""
_FLAT = 1e-6
"""Slopes smaller than this count as zero; a single response contributes a slope of 1."""
_FEW = 2048
_CORNERS = 1500


@dataclass(frozen=True)
class Corner:
    """As many independent images as there are coefficients, each with its threshold at one of its responses.

    Attributes:
        images: indices of these images, ``(d,)``.
        ranks: which of its ascending responses each threshold is at, ``(d,)``.
    """

    images: Integers
    ranks: Integers


class DescentError(RuntimeError):
    """The descent found no end."""


class Descent:
    """Walks a problem without ridge whose columns are independent, and its variants with other slopes."""

    def __init__(self, problem: Problem) -> None:
        self.level, self.design, self.responses = problem.level, problem.design.numpy(), problem.responses.numpy()
        # Equal responses would make many corners one point, among which a walk can turn in circles: they are set apart
        # by a noise that keeps their order, and coefficients are computed from the responses themselves.
        noise = torch.rand(problem.responses.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        width = float(self.responses.max() - self.responses.min()) or 1.0
        self.apart = (problem.responses + _TIE * width * noise.sort(1).values).contiguous()

    def near(self, theta: Tensor) -> Corner:
        """A corner near some coefficients: independent images, those first that have a response closely fitted."""
        u, count = self.design @ theta.numpy(), self.apart.shape[1]
        above = _count_below(self.apart, u)
        ranks = np.stack([above - 1, above]).clip(0, count - 1)
        gap = np.abs(np.take_along_axis(self.apart.numpy(), ranks.T, 1).T - u)
        weight = 1 / (gap.min(0) + 1e-3)
        # Gram-Schmidt with a preference: of what the chosen images do not span yet, take the image that adds most,
        # weighed by how close its threshold is to a response. The rows are then independent, so the corner exists.
        rest, images = self.design.copy(), []
        for _ in range(self.design.shape[1]):
            images.append(int(((rest * rest).sum(1) * weight).argmax()))
            axis = rest[images[-1]] / np.linalg.norm(rest[images[-1]])
            rest -= np.outer(rest @ axis, axis)
        return Corner(np.array(images), ranks[gap.argmin(0), np.arange(len(u))][images])

    def coefficients(self, corner: Corner) -> Tensor:
        """The coefficients at a corner."""
        fitted = self.responses[corner.images, corner.ranks]
        return torch.from_numpy(np.linalg.solve(self.design[corner.images], fitted))

    def lowest(self, corner: Corner, slope: Tensor | None = None) -> Corner | None:
        """The corner of the minimum; None if the objective, with ``slope`` added, has no lower bound.

        Raises:
            DescentError: if rounding keeps it from ending, as thousands of equal responses can.
        """
        for _ in range(_CORNERS):
            edge = self._edge(corner, None if slope is None else slope.numpy())
            if edge is None:
                return corner
            leaving, line = edge
            entering = line.lowest()
            if entering is None:  # the edge falls for ever, and with it the objective
                return None
            images, ranks = corner.images.copy(), corner.ranks.copy()
            images[leaving], ranks[leaving] = entering
            corner = Corner(images, ranks)
        raise DescentError

    def _edge(self, corner: Corner, slope: Floats | None) -> tuple[int, _Line] | None:
        """The image that leaves the corner and the edge that then falls most steeply; None at the minimum."""
        size = self.responses.size
        inverse = np.linalg.inv(self.design[corner.images])
        speeds = self.design @ inverse
        u = speeds @ self.apart.numpy()[corner.images, corner.ranks]
        below = _count_below(self.apart, u)
        # At the corner's own images the threshold is a response, and rounding might count it as below.
        below[corner.images] = corner.ranks
        # What share of its response each image of the corner must count as missed for the gradient to vanish: 0 to 1.
        share = -((below - self.level * self.responses.shape[1]) @ speeds)
        if slope is not None:
            share -= size * (slope @ inverse)
        excess = np.maximum(-share, share - 1)
        if excess.max() <= _FLAT:
            return None
        # Steepest for the way that thresholds go, not coefficients: fewer corners on it.
        leaving = int(np.where(excess > _FLAT, excess / np.sqrt((speeds * speeds).sum(0)), -1).argmax())
        sign = 1.0 if share[leaving] > 1 else -1.0
        speed = sign * speeds[:, leaving]
        # Along the edge the other images of the corner stay at their responses, exactly: not within rounding.
        speed[corner.images] = 0
        speed[corner.images[leaving]] = sign
        below[corner.images[leaving]] += sign > 0
        return leaving, _Line(self.apart, u, speed, below, -float(excess[leaving]))


class _Line:
    """The objective along an edge: its slope grows by the speed of each threshold that passes a response."""

    def __init__(self, responses: Tensor, u: Floats, speed: Floats, start: Integers, slope: float) -> None:
        self.responses, self.u, self.speed, self.start, self.slope = responses, u, speed, start, slope
        self.pace, self.up = np.abs(speed), speed > 0
        self.pace[self.pace < 1e-12 * self.pace.max()] = 0  # rounding, which would pass a response after eons

    def lowest(self) -> tuple[int, int] | None:
        """Image and rank of the response at the lowest point; None if the line falls for ever."""
        count = self.responses.shape[1]
        last = np.where(self.pace > 0, np.where(self.up, count, 0), self.start)
        if self._slope_past(last) < -_FLAT - 1e-12 * count * self.pace.sum():
            return None
        return self._walk(*self._bracket(last))

    def _slope_past(self, below: Integers) -> float:
        return self.slope + float(np.abs(below - self.start) @ self.pace)

    def _at(self, time: float) -> Integers:
        """Responses below each threshold after some time; rounding must not take one back."""
        below = _count_below(self.responses, self.u + time * self.speed)
        below = np.where(self.up, np.maximum(below, self.start), np.minimum(below, self.start))
        return np.where(self.pace > 0, below, self.start)

    def _bracket(self, last: Integers) -> tuple[Integers, Integers]:
        """Counts on both sides of the lowest point, with few responses between."""
        # The scale of time is unknown: double until the slope has turned, then halve. Counting below all thresholds
        # is cheap; sorting every crossing is not, and is left for the few between.
        near, far, low, high = self.start, last, 0.0, 0.0
        time = 1e-3 / float(self.pace.max())
        for _ in range(200):
            if np.abs(far - near).sum() <= _FEW:
                break
            below = self._at(time)
            if self._slope_past(below) < 0:
                near, low = below, time
            else:
                far, high = below, time
            time = (low + high) / 2 if high else 8 * time
        return near, far

    def _walk(self, near: Integers, far: Integers) -> tuple[int, int]:
        # One row per crossing: the image that crosses, and which of its responses, in the order in which it meets them.
        counts = np.abs(far - near)
        owner = np.repeat(np.arange(len(counts)), counts)
        step = np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]
        rank = near[owner] + np.where(self.up[owner], step, -1 - step)
        order = np.argsort((self.responses.numpy()[owner, rank] - self.u[owner]) / self.speed[owner], kind="stable")
        slope = self._slope_past(near) + np.cumsum(self.pace[owner[order]])
        place = order[min(int((slope < 0).sum()), len(order) - 1)]
        return int(owner[place]), int(rank[place])


def _count_below(responses: Tensor, thresholds: Floats) -> Integers:
    """How many of each image's responses are below its threshold."""
    return torch.searchsorted(responses, torch.from_numpy(thresholds)[:, None]).numpy()[:, 0]
