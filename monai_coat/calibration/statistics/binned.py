# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A statistic whose memory does not grow: sums of risks on a grid of cutoffs."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from monai_coat.calibration.statistics.base import NO_PROMISE, Budget, Solution, check_same_kind
from monai_coat.calibration.statistics.bracket import Brackets
from monai_coat.calibration.statistics.entries import MOST_IMAGES, array_in, check_names, whole_in
from monai_coat.calibration.statistics.shares import FALSE_NEGATIVES, ShareRisk, ShareStatistic
from monai_coat.functional import exact_level

__all__ = ["BinnedStatistic"]


class BinnedStatistic(ShareStatistic):
    r"""For each cutoff of an even grid, the sum over images of the share of their foreground below it.

    .. math:: R_e = \sum_{i=1}^{n} \frac{u}{u_i} \big\lceil u_i\, \mathrm{FNR}_i(c_e) \big\rceil, \qquad
        c_e = c_0 + e\,w

    It takes the place of :class:`~monai_coat.calibration.CoverageStatistic` where there are too many images to keep
    their scores, or where scores must not leave a hospital: eight bytes for each step of the grid and class, whatever
    the number of images. Sums of whole numbers are the same in any order, so merging is exact. Rounding up and the grid
    can only lower the cutoff: the promise holds as it stands, and the set is a little larger.

    Coarse units and few steps keep single images from showing in the sums; each costs a little of the set's size. The
    rate of image i is rounded up to parts of :math:`1 / u_i`, at most u and at most as many as its foreground has
    pixels: a single pixel then shows as one part or as none, and the size of a jump says nothing about the object. That
    takes at most :math:`\sum_i 1 / u_i` of a budget of alpha (n + 1) - 1: with u = 1024, alpha = 0.1 and large objects
    about one percent. What is left to see, and what it costs, is measured in ``docs/federated.md``.

    Args:
        low: lowest cutoff. Scores below it count as missed at every cutoff.
        high: highest cutoff. Margins of probabilities lie in [-1, 1], log odds about in [-28, 28].
        bins: number of steps w between them.
        unit: u, into how many parts a rate is divided at most, a power of two.
        hide_sizes: whether rates of small objects are divided into fewer parts. Turn it off, and take a unit of 2^32
            and more steps, where the statistic does not leave the site.
        risk: the risk it is of, see :class:`~monai_coat.calibration.CoverageStatistic`. In the formulas, shares of
            critical scores take the place of FNR; of a risk that falls, these and the grid are negative.

    Raises:
        ValueError: if ``low < high`` does not hold, the steps are finer than float32, or ``unit`` is no power of two.

    Example:
        >>> statistic = BinnedStatistic(0.0, 1.0, bins=4)
        >>> statistic.update(torch.tensor([[[0.2, 0.5, 0.9]]]), torch.tensor([[[1, 1, 0]]]))
        >>> statistic.n, [round(r / statistic.unit, 2) for r in statistic.rates[0].tolist()]
        ((1,), [0.0, 0.5, 0.5, 1.0, 1.0])

    Source:
        Angelopoulos et al., Conformal Risk Control (ICLR 2024), equation 4 on a finite set of cutoffs.
    """

    kind: ClassVar[str] = "binned"

    def __init__(
        self,
        low: float = -1.0,
        high: float = 1.0,
        bins: int = 512,
        unit: int = 2**10,
        hide_sizes: bool = True,
        risk: ShareRisk = FALSE_NEGATIVES,
    ) -> None:
        finite = math.isfinite(low) and math.isfinite(high) and bins >= 1
        edges = np.linspace(low, high, int(bins) + 1).astype(np.float32) if finite else np.zeros(2, np.float32)
        edges = edges if risk.rises else -edges[::-1]
        if (np.diff(edges) <= 0).any():
            raise ValueError(
                f"low, high and bins must make an ascending grid of float32 numbers, got {low}, {high} and {bins}; "
                "-1, 1 and 512 suit margins of probabilities."
            )
        if unit not in (2**power for power in range(33)):
            raise ValueError(f"unit must be a power of two from 1 to 2^32, got {unit}; 1024 hides most single pixels.")
        self.low, self.high, self.bins, self.unit, self.edges = float(low), float(high), int(bins), int(unit), edges
        self.hide_sizes, self.risk = bool(hide_sizes), risk
        self._make_classes(0)

    @property
    def grid(self) -> tuple[float, float, int]:
        """Lowest and highest cutoff and the number of steps: statistics can be merged if these are equal."""
        return self.low, self.high, self.bins

    @property
    def n(self) -> tuple[int, ...]:
        """Images with foreground, per class."""
        return tuple(self._n[0].tolist())

    @property
    def n_empty(self) -> tuple[int, ...]:
        """Images left out because the class is absent from them, per class."""
        return tuple(self._n[1].tolist())

    def _make_classes(self, channels: int) -> None:
        self.rates: NDArray[np.int64] = np.zeros((channels, len(self.edges)), np.int64)
        self._n: NDArray[np.int64] = np.zeros((2, channels), np.int64)
        self._slack: NDArray[np.int64] = np.zeros(channels, np.int64)  # what rounding up can have added, in units

    def _add(self, index: int, image: NDArray[np.float32]) -> None:
        self._n[0 if image.size else 1, index] += 1
        if image.size:
            # Strictly below an edge is missed there: a score equal to it lies above.
            first_above = np.searchsorted(self.edges, image, side="right")
            below = np.cumsum(np.bincount(first_above, minlength=len(self.edges) + 1)[:-1])
            parts = min(self.unit, 2 ** (image.size.bit_length() - 1)) if self.hide_sizes else self.unit
            self.rates[index] += -(-(below * parts) // image.size) * (self.unit // parts)
            self._slack[index] += self.unit // parts

    def merge(self, other: BinnedStatistic) -> None:
        """Add all images of another statistic; an empty one changes nothing.

        Raises:
            TypeError: if the other is of another kind.
            ValueError: if the grids, the units or the numbers of classes differ.
        """
        check_same_kind(self, other)
        if (self.grid, self.unit) != (other.grid, other.unit):
            what, mine, theirs = ("grid", self.grid, other.grid) if self.grid != other.grid else _units(self, other)
            raise ValueError(f"other must have the {what} {mine}, got {theirs}; collect both with one.")
        if other.n:
            self._open(len(other.n))
            self.rates += other.rates
            self._n += other._n
            self._slack += other._slack

    def solve(self, budget: Budget) -> tuple[Solution, ...]:
        """The last cutoff of the grid within the budget; its ``risk`` is an upper bound.

        Raises:
            ValueError: if the lowest cutoff of the grid misses too much.
        """
        return tuple(self._solution(index, budget(n)) for index, n in enumerate(self.n))

    def _solution(self, index: int, budget: Fraction) -> Solution:
        if budget < 0:
            return self._outside(NO_PROMISE)
        step = self._step(index, budget)
        width = (self.high - self.low) / self.bins
        above, below, end = ("above", "below", self.high) if self.risk.rises else ("below", "above", self.low)
        remark = f"the cutoff is on a grid of steps of {width:.3g} and not {above} the exact one"
        if step == self.bins:
            highest = "highest" if self.risk.rises else "lowest"
            remark = f"the cutoff is the {highest} of its grid, {end:g}, and may be far {below} the exact one"
        risk = int(self.rates[index, step]) / self.unit / self.n[index]
        return self._outside(Solution(float(self.edges[step]), risk, remark))

    def _step(self, index: int, budget: Fraction) -> int:
        """The last step within the budget."""
        within = int(np.searchsorted(self.rates[index], math.floor(budget * self.unit), side="right"))
        if not within and not self.risk.rises:
            raise ValueError(
                f"high must be a cutoff with little enough above it for this level, got {self.high}; collect again "
                "with a higher one."
            )
        if not within:
            raise ValueError(
                f"low must be a cutoff that misses little enough, got {self.low}, below which too much of the "
                "foreground lies for this level; collect again with a lower one."
            )
        return within - 1

    def brackets(self, alpha: float) -> Brackets:
        """Bounds on the cutoff that all scores would give at a level, for a second pass over the same images.

        Raises:
            TypeError: if it is of another risk than the false negative rate, of which alone there is a second pass.
            ValueError: if there are too few images for ``alpha``, or the lowest cutoff of the grid misses too much.
        """
        if self.measures != FALSE_NEGATIVES.key:
            raise TypeError(f"risk must be {FALSE_NEGATIVES.key!r} for a second pass, got {self.measures!r}.")
        level, bounds = exact_level(alpha), []
        budgets = [level * (n + 1) - 1 for n in self.n]
        if max(budgets) < 0:
            raise ValueError(f"alpha={float(alpha)} needs more images of a class, got {max(self.n)}; add images.")
        for index, budget in enumerate(budgets):
            if budget < 0:  # no promise, whatever its scores are
                bounds.append((math.inf, math.inf))
                continue
            # Rounding up has added less than the slack: what is over the budget without it is so for sure.
            above = np.flatnonzero(self.rates[index] - self._slack[index] > math.floor(budget * self.unit))
            high = float(self.edges[above[0]]) if above.size else math.inf
            bounds.append((float(self.edges[self._step(index, budget)]), high))
        return Brackets(tuple(bounds), float(alpha), self.n)

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors, the grid and the unit."""
        return {
            "rates": torch.from_numpy(self.rates),
            "n": torch.from_numpy(self._n),
            "grid": torch.tensor(self.grid, dtype=torch.float64),
            "unit": self.unit,
            "slack": torch.from_numpy(self._slack),
            "hide_sizes": self.hide_sizes,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace grid and contents by those of :meth:`state_dict`.

        Raises:
            ValueError: if rates are not whole numbers that rise along the grid from 0 or more to at most one per image,
                or classes are of different images.
        """
        empty, rates, counts = _grid_and_sums(state, self.risk)
        slack = array_in(state, "slack", np.int64, 1)
        if (counts < 0).any() or (counts > MOST_IMAGES).any():
            raise ValueError("n must hold numbers of images, n not negative")
        if (rates < 0).any() or (np.diff(rates, axis=1) < 0).any() or (rates > counts[0][:, None] * empty.unit).any():
            raise ValueError("rates must rise along the grid, from 0 or more to at most one per image")
        if len(set(counts.sum(0).tolist())) > 1:
            raise ValueError("classes must be of the same images, with and without foreground")
        most = counts[0] * (empty.unit if empty.hide_sizes else 1)
        if slack.shape != most.shape or (slack < counts[0]).any() or (slack > most).any():
            raise ValueError("slack must be at least one unit and at most one rate for each image")
        vars(self).update(vars(empty))
        self.rates, self._n, self._slack = rates.copy(), counts.copy(), slack.copy()


def _grid_and_sums(
    state: dict[str, Any], risk: ShareRisk
) -> tuple[BinnedStatistic, NDArray[np.int64], NDArray[np.int64]]:
    """An empty statistic of the grid, rates and numbers of images, which fit together in shape."""
    check_names(state, ("rates", "n", "grid", "unit", "slack", "hide_sizes"))
    rates, counts = (array_in(state, name, np.int64, 2) for name in ("rates", "n"))
    grid, unit = array_in(state, "grid", np.float64, 1), whole_in(state, "unit", 2**32)
    # Looked at before a grid is made of it: a number of bins is quickly written.
    if grid.shape != (3,) or len(counts) != 2 or rates.shape != (counts.shape[1], grid[2] + 1):
        raise ValueError(f"rates must have one entry per class and cutoff of the grid, got the shape {rates.shape}")
    low, high, bins = grid.tolist()
    hide_sizes = bool(whole_in(state, "hide_sizes", 1))
    return BinnedStatistic(low, high, int(bins), unit, hide_sizes, risk), rates, counts


def _units(mine: BinnedStatistic, theirs: BinnedStatistic) -> tuple[str, int, int]:
    return "unit", mine.unit, theirs.unit
