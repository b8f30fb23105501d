# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Calibration in a memory that does not grow: sums of false negative rates on a grid of cutoffs."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.calibration._enough import check_enough
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.statistics import float32_below
from monai_coat.functional import exact_level, foreground_scores

__all__ = ["BinnedStatistic", "calibrate_binned"]

UNIT = 2**32
"""Rates are kept as whole multiples of its inverse, rounded up."""


class BinnedStatistic:
    r"""For each cutoff of an even grid, the sum over images of the share of their foreground below it.

    .. math:: R_e = \sum_{i=1}^{n} \big\lceil 2^{32}\, \mathrm{FNR}_i(c_e) \big\rceil, \qquad c_e = c_0 + e\,w

    It takes the place of :class:`~monai_coat.calibration.CoverageStatistic` where there are too many images to keep
    their scores, or where scores must not leave a house: eight bytes for each step of the grid and class, whatever the
    number of images. Sums of whole numbers are the same in any order, so merging is exact. Rounding up and the grid
    can only lower the cutoff: the promise holds as it stands, and the set is larger by a step of the grid at most.

    Args:
        low: lowest cutoff. Scores below it count as missed at every cutoff.
        high: highest cutoff. Margins of probabilities lie in [-1, 1], log odds about in [-28, 28].
        bins: number of steps w between them.

    Raises:
        ValueError: if ``low < high`` does not hold, or the steps are finer than float32.

    Example:
        >>> statistic = BinnedStatistic(0.0, 1.0, bins=4)
        >>> statistic.update(torch.tensor([[[0.2, 0.5, 0.9]]]), torch.tensor([[[1, 1, 0]]]))
        >>> statistic.n, [round(r / 2**32, 2) for r in statistic.rates[0].tolist()]
        ((1,), [0.0, 0.5, 0.5, 1.0, 1.0])
    """

    def __init__(self, low: float = -1.0, high: float = 1.0, bins: int = 4096) -> None:
        finite = math.isfinite(low) and math.isfinite(high) and bins >= 1
        edges = np.linspace(low, high, int(bins) + 1).astype(np.float32) if finite else np.zeros(2, np.float32)
        if (np.diff(edges) <= 0).any():
            raise ValueError(
                f"low, high and bins must make an ascending grid of float32 numbers, got {low}, {high} and {bins}; "
                "-1, 1 and 4096 suit margins of probabilities."
            )
        self.low, self.high, self.bins, self.edges = float(low), float(high), int(bins), edges
        self.rates: NDArray[np.int64] = np.zeros((0, len(edges)), np.int64)
        self._n = np.zeros((2, 0), np.int64)

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

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add a batch of images; arguments and errors as those of the exact statistic.

        Raises:
            TypeError: if ``scores`` is not floating point.
            ValueError: if shapes differ, scores are not finite, labels hold anything but 0 and 1, or the number of
                classes is not that of the batches before. Nothing is added then.
        """
        with torch.no_grad():
            values, (_, channels) = foreground_scores(scores, labels)
            images = [float32_below(value.detach().cpu()).numpy() for value in values]
        self._open(channels)
        for index, image in enumerate(images):
            self._n[0 if image.size else 1, index % channels] += 1
            if image.size:
                self.rates[index % channels] += self._rates_of(image)

    def _rates_of(self, image: NDArray[np.float32]) -> NDArray[np.int64]:
        """One image's rate at each cutoff: what is strictly below it."""
        first_above = np.searchsorted(self.edges, image, side="right")
        below = np.cumsum(np.bincount(first_above, minlength=len(self.edges) + 1)[:-1])
        rates: NDArray[np.int64] = -(-(below * UNIT) // image.size)
        return rates

    def merge(self, other: BinnedStatistic) -> None:
        """Add all images of another statistic; an empty one changes nothing.

        Raises:
            ValueError: if the grids or the numbers of classes differ.
        """
        if self.grid != other.grid:
            raise ValueError(f"other must have the grid {self.grid}, got {other.grid}; collect both on one grid.")
        if other.n:
            self._open(len(other.n))
            self.rates += other.rates
            self._n += other._n

    def _open(self, channels: int) -> None:
        if not self.n:
            self.rates, self._n = np.zeros((channels, len(self.edges)), np.int64), np.zeros((2, channels), np.int64)
        if len(self.n) != channels:
            raise ValueError(
                f"scores must have the {len(self.n)} classes of the batches before, got {channels}; use one statistic "
                "per network."
            )

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors, and the grid."""
        return {"rates": torch.from_numpy(self.rates), "n": torch.from_numpy(self._n), "grid": self.grid}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace grid and contents by those of :meth:`state_dict`."""
        self.__init__(*state["grid"])  # type: ignore[misc]
        self.rates, self._n = state["rates"].numpy().copy(), state["n"].numpy().copy()

    def brackets(self, alpha: float) -> tuple[tuple[float, float], ...]:
        """Per class, bounds ``low <= c < high`` on the cutoff that all scores would give, for a second pass.

        Raises:
            ValueError: as :func:`calibrate_binned`.
        """
        found = []
        for index, n in enumerate(self.n):
            step = self._step(index, alpha)
            # The true sum is at most n units below the rounded one.
            above = np.flatnonzero(self.rates[index] - n > math.floor(_budget(alpha, n)))
            found.append((float(self.edges[step]), float(self.edges[above[0]]) if above.size else math.inf))
        return tuple(found)

    def _step(self, index: int, alpha: float) -> int:
        """The last step within the budget."""
        n = self.n[index]
        check_enough(alpha, n, self.n_empty[index], index if len(self.n) > 1 else None)
        within = int(np.searchsorted(self.rates[index], math.floor(_budget(alpha, n)), side="right"))
        if not within:
            raise ValueError(
                f"low must be a cutoff that misses little enough, got {self.low}, below which too much of the "
                f"foreground lies for alpha={float(alpha)}; collect again with a lower one."
            )
        return within - 1


def _budget(alpha: float, n: int) -> Fraction:
    """Units that the sum of rates may reach."""
    return (exact_level(alpha) * (n + 1) - 1) * UNIT


def calibrate_binned(statistic: BinnedStatistic, alpha: float) -> CalibrationResult:
    r"""Find the largest cutoff of the grid that keeps the mean false negative rate of a new image at ``alpha``.

    .. math:: \hat c = \max\Big\{c_e : R_e \le 2^{32} \big(\alpha\,(n + 1) - 1\big)\Big\}

    The grid is chosen before any image is seen and :math:`R_e` bounds the sum of rates from above, so conformal risk
    control applies to it as it is: :math:`E[\mathrm{FNR}_{n+1}(\hat c)] \le \alpha`. The cutoff of
    :func:`~monai_coat.calibration.calibrate` is in the same step of the grid, unless the rates' rounding, at most
    :math:`n\,2^{-32}` in their sum, decides.

    Args:
        statistic: rates of the calibration images.
        alpha: tolerated mean false negative rate, in (0, 1).

    Returns:
        The cutoff per class; ``risk`` is an upper bound, and ``guarantee`` says how coarse the grid is.

    Raises:
        ValueError: if ``alpha`` is outside (0, 1), there is no image, too few for ``alpha``, or the lowest cutoff of
            the grid misses too much.

    Example:
        >>> statistic = BinnedStatistic(0.0, 1.0, bins=10)
        >>> statistic.update(torch.tensor([[[0.25, 0.85]], [[0.45, 0.95]], [[0.65, 0.75]]]), torch.ones(3, 1, 2))
        >>> round(calibrate_binned(statistic, alpha=0.5).cutoff[0], 4)  # all scores would give 0.65
        0.6

    Source:
        Angelopoulos et al., Conformal Risk Control (ICLR 2024), equation 4 on a finite set of cutoffs.
    """
    exact_level(alpha)
    if not statistic.n:
        raise ValueError("statistic must hold at least one image, got none; call update(scores, labels) first.")
    steps = [statistic._step(index, alpha) for index in range(len(statistic.n))]
    width = (statistic.high - statistic.low) / statistic.bins
    risks = [int(rates[step]) / UNIT / n for rates, step, n in zip(statistic.rates, steps, statistic.n, strict=True)]
    return CalibrationResult(
        cutoff=tuple(float(statistic.edges[step]) for step in steps),
        alpha=float(alpha),
        n=statistic.n,
        n_empty=statistic.n_empty,
        risk=tuple(risks),
        guarantee=(
            f"E[FNR] <= {float(alpha)} on average over new images with foreground, exchangeable with the n used; the "
            f"cutoff is on a grid of steps of {width:.3g} and below the exact one by no more than about one"
        ),
    )
