# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A pilot: images like those to come, from which many calibrations are drawn to see how far one scatters.

Tested by tests/calibration/test_planning.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from monai_coat.calibration.guarantees.base import MeanGuarantee
from monai_coat.calibration.scatter import BAND, Scatter, tolerated_sum
from monai_coat.calibration.statistics import CoverageStatistic, FalsePositiveStatistic, Statistic, WorstClassStatistic

__all__ = ["FEWEST", "Pilot", "pilots_of"]

FEWEST = 20
"""Fewer images say little about how far others scatter."""

_LEVELS = 512
_NUMBERS = 4_000_000  # in memory at a time
_ROUNDING = 1e-9

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Pilot:
    r"""The risk of each of N images at each cutoff of a grid, from the smallest risk to the largest.

    The pilot stands for all images: a calibration is n draws from it with replacement, and its outcome is the mean risk
    of the pilot at the cutoff that it takes,

    .. math:: \bar L\Big(\max\Big\{c : \sum_{i=1}^{N} w_i L_i(c) \le \text{budget}(n)\Big\}\Big), \qquad
        (w_1, \dots, w_N) \sim \text{Multinomial}(n;\ 1/N, \dots, 1/N).

    Its images must be like those to come, and none may be one that the network was trained on: on these it misses less,
    and everything would look better than it is. What is found is an estimate, as good as a pilot of N images can be; no
    promise rests on it, since the calibration itself is made of other images.

    Args:
        curves: risks ``(N, cutoffs)`` in [0, 1]; rows do not fall, and begin with 0.
        draws: how many calibrations are drawn.
        seed: of the random numbers; the same seed gives the same numbers.

    Raises:
        ValueError: if there are fewer than 20 images, or a row is no curve of risks.

    Example:
        Images that are all alike do not scatter: each misses 0, 1/2 or all.

        >>> from monai_coat.calibration import ExpectedRisk
        >>> pilot = Pilot(np.tile([0.0, 0.5, 1.0], (20, 1)))
        >>> found = pilot.scatter(ExpectedRisk(alpha=0.6), 50)
        >>> found.low, found.high, found.above
        (0.5, 0.5, 0.0)

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 6.
    """

    curves: NDArray[np.float64] = field(repr=False)
    draws: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        curves = self.curves
        if curves.ndim != 2 or len(curves) < FEWEST or self.draws < 1:
            raise ValueError(
                f"curves must be of at least {FEWEST} images, and draws at least 1, got shape {curves.shape} and "
                f"{self.draws}; label some more images for the pilot."
            )
        if not ((curves >= 0) & (curves <= 1)).all() or (np.diff(curves) < 0).any() or curves[:, 0].any():
            raise ValueError("curves must rise from 0 and stay in [0, 1], got others; give risks in order of cutoffs.")

    def __len__(self) -> int:
        return len(self.curves)

    def scatter(self, guarantee: MeanGuarantee, n: int) -> Scatter:
        """How far calibrations on n images scatter, by drawing many.

        Args:
            guarantee: what is to be promised; its budget alone is used.
            n: calibration images, at least as many as the guarantee needs; may be more than the pilot has.

        Raises:
            TypeError: if the guarantee is none that follows from the sum of risks.
            ValueError: if n is too small for the guarantee.
        """
        found = self._outcomes(n, tolerated_sum(guarantee, n))
        low, median, high = (float(each) for each in np.quantile(found, BAND))
        above = float((found > float(guarantee.alpha) + _ROUNDING).mean())
        return Scatter(n, float(found.mean()), float(found.std()), low, median, high, above)

    def _outcomes(self, n: int, budget: float) -> NDArray[np.float64]:
        """The pilot's mean risk after each calibration; the grid can only lower it."""
        rng, means = np.random.default_rng(self.seed), self.curves.mean(0)
        together = max(1, _NUMBERS // max(n, *self.curves.shape))
        outcomes = []
        for start in range(0, self.draws, together):
            counts = self._counts(rng, min(together, self.draws - start), n)
            within = counts @ self.curves <= budget + _ROUNDING * n
            outcomes.append(means[within.sum(1) - 1])  # at the first cutoff no image loses anything
        return np.concatenate(outcomes)

    def _counts(self, rng: np.random.Generator, draws: int, n: int) -> NDArray[np.float64]:
        """How often each image is drawn, ``(draws, N)``."""
        images = len(self)
        if n > images:
            return rng.multinomial(n, np.full(images, 1 / images), size=draws).astype(np.float64)
        drawn = rng.integers(images, size=(draws, n)) + images * np.arange(draws)[:, None]
        return np.bincount(drawn.ravel(), minlength=draws * images).reshape(draws, images).astype(np.float64)


def pilots_of(statistic: Statistic) -> tuple[Pilot | None, ...]:
    """The pilot of each class that a statistic of labelled images gives; one for a risk of all classes together.

    The cutoffs are some five hundred scores, the lowest and the highest among them, closer where the risk is small.

    Args:
        statistic: of the pilot's images, which keeps the scores of each.

    Returns:
        A pilot per class; None for one with fewer than 20 images.

    Raises:
        TypeError: if the statistic does not keep the scores of each image.
        ValueError: if every class has fewer than 20 images.

    Example:
        >>> import torch
        >>> statistic = CoverageStatistic()
        >>> statistic.update(torch.rand(30, 1, 9), torch.ones(30, 1, 9))
        >>> [len(pilot) for pilot in pilots_of(statistic)]
        [30]
    """
    if not isinstance(statistic, CoverageStatistic | FalsePositiveStatistic | WorstClassStatistic):
        raise TypeError(
            f"statistic must keep the scores of each image, as a CoverageStatistic does, got "
            f"{type(statistic).__name__}; collect the pilot with risk.statistic()."
        )
    if max(statistic.n, default=0) < FEWEST:
        raise ValueError(
            f"pilot must have at least {FEWEST} images that count, got {max(statistic.n, default=0)}; label some more, "
            "or plan without a pilot."
        )
    if isinstance(statistic, WorstClassStatistic):
        return (Pilot(_worst_curves(statistic)),)
    return tuple(_pilot_of(images) for images in statistic.images)


def _pilot_of(images: Mapping[int, Scores]) -> Pilot | None:
    if len(images) < FEWEST:
        return None
    ordered = [np.sort(image) for image in images.values()]
    return Pilot(_curves(ordered, _grid(ordered)))


def _worst_curves(statistic: WorstClassStatistic) -> NDArray[np.float64]:
    """At each cutoff the risk of that class of an image which is missed most."""
    classes = [{place: np.sort(image) for place, image in images.items()} for images in statistic.images]
    grid = _grid([image for images in classes for image in images.values()])
    places = sorted({place for images in classes for place in images})
    of_images = [_curves([images[place] for images in classes if place in images], grid).max(0) for place in places]
    return np.stack(of_images)


def _curves(ordered: list[Scores], grid: Scores) -> NDArray[np.float64]:
    """The share of each image's scores strictly below each cutoff: what it loses there."""
    return np.stack([np.searchsorted(scores, grid) / scores.size for scores in ordered])


def _grid(ordered: list[Scores]) -> Scores:
    """Cutoffs at which the mean risk is about 0, 1 / 512^2, 4 / 512^2, 9 / 512^2, ..., 1; every score, if they are few.

    An image weighs 1, whatever its size, so that quantiles of the scores are mean risks.
    """
    picked = [scores[np.linspace(0, scores.size - 1, min(scores.size, _LEVELS)).astype(int)] for scores in ordered]
    scores = np.concatenate(picked)
    weights = np.repeat([1 / part.size for part in picked], [part.size for part in picked])
    order = np.argsort(scores, kind="stable")
    scores, reached = scores[order], np.cumsum(weights[order])
    if len(every := np.unique(scores)) <= _LEVELS:
        return every
    levels = (np.arange(_LEVELS + 1) / _LEVELS) ** 2 * reached[-1]
    places = np.minimum(np.searchsorted(reached, levels), scores.size - 1)
    return np.unique(np.r_[scores[places], scores[-1]])
