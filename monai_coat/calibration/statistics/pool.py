# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Foreground scores of one class, image by image, and the exact search for a cutoff in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from monai_coat.calibration.statistics.entries import array_in, check_names, whole_in

__all__ = ["Crossing", "PartOfPool", "ScorePool", "Weights", "within_budget"]

Scores = NDArray[np.float32]
Counts = NDArray[np.int64]

_BINS = 256


@dataclass(frozen=True)
class Crossing:
    """Where the sum of false negative rates would pass its budget.

    Attributes:
        cutoff: the largest cutoff whose sum of false negative rates is within the budget; a score of some image.
        missed: foreground pixels of each image with a score below ``cutoff``.
    """

    cutoff: float
    missed: Counts


@dataclass(frozen=True)
class _Index:
    """Each score's bin among 256, image by image, and how many scores of each image lie below each bin."""

    codes: list[NDArray[np.uint8]]
    below: NDArray[np.int32 | np.int64]


class ScorePool:
    """Foreground scores of the images that contain one class; an image's pixels share its weight."""

    def __init__(self) -> None:
        self._images: list[Scores] = []
        self._positions: list[int] = []
        self._index: _Index | None = None
        self.n_empty = 0

    def __len__(self) -> int:
        return len(self._images)

    @property
    def sizes(self) -> Counts:
        """Foreground pixels of each image."""
        return np.array([image.size for image in self._images], dtype=np.int64)

    @property
    def images(self) -> dict[int, Scores]:
        """Foreground scores by the image's position among all that were seen, those without foreground counted."""
        return dict(zip(self._positions, self._images, strict=True))

    def missed(self, cutoff: float) -> Counts:
        """Scores of each image below a cutoff."""
        return np.array([np.count_nonzero(image < np.float32(cutoff)) for image in self._images], dtype=np.int64)

    @property
    def positions(self) -> Sequence[int]:
        """Each image's place among all that were seen, those without foreground counted."""
        return self._positions

    def add(self, image: Scores) -> None:
        """Take one image's foreground scores; an empty array is an image without foreground."""
        self._index = None
        if image.size:
            self._positions.append(len(self) + self.n_empty)
            self._images.append(image)
        else:
            self.n_empty += 1

    def extend(self, other: ScorePool) -> None:
        """Take all images of another pool."""
        self._index = None
        seen = len(self) + self.n_empty
        self._positions.extend([seen + position for position in other._positions])
        self._images.extend(list(other._images))
        self.n_empty += other.n_empty

    def state_dict(self) -> dict[str, Any]:
        """Scores end to end, size and position of each image, and the number of empty images."""
        flat = np.concatenate([np.empty(0, np.float32), *self._images])
        return {
            "scores": torch.from_numpy(flat),
            "sizes": torch.from_numpy(self.sizes),
            "positions": torch.tensor(self._positions, dtype=torch.int64),
            "n_empty": self.n_empty,
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> ScorePool:
        """The pool that :meth:`state_dict` describes.

        Raises:
            ValueError: if entries are missing or of another type, sizes, positions and scores do not fit together, or
                a score is not finite.
        """
        check_names(state, ("scores", "sizes", "positions", "n_empty"))
        scores, n_empty = array_in(state, "scores", np.float32, 1), whole_in(state, "n_empty")
        sizes, positions = (array_in(state, name, np.int64, 1) for name in ("sizes", "positions"))
        fits = sizes.shape == positions.shape and bool(((sizes > 0) & (sizes <= scores.size)).all())
        fits = fits and int(sizes.sum()) == scores.size and len(np.unique(positions)) == len(positions)
        if not fits or not ((positions >= 0) & (positions < len(sizes) + n_empty)).all():
            raise ValueError("sizes, positions and n_empty must describe the scores, image by image")
        if not np.isfinite(scores).all():
            raise ValueError("scores must be finite")
        pool = cls()
        pool.n_empty, pool._positions = n_empty, positions.tolist()
        pool._images = list(np.split(scores, np.cumsum(sizes)[:-1])) if len(sizes) else []
        return pool

    def crossing(self, budget: Fraction, weights: Weights | None = None) -> Crossing:
        r"""The largest cutoff c with :math:`\sum_i w_i |\{s_{ij} < c\}| / m_i \le` ``budget``, exactly.

        Bins narrow the search to the few scores around the answer; those are sorted and walked. A bin is a monotone
        function of the score, so rounding cannot put two scores in the wrong order, and every decision that float64
        cannot make is made with rational numbers: the answer depends on the images alone, not on their order.

        Args:
            budget: sum of shares that is tolerated, at least 0 and less than the sum of the weights.
            weights: of each image; 1 if none are given.
        """
        index = self._index = self._index or self._build_index()
        weights = weights or Weights.equal(len(self))
        low, high = _bracket(np.einsum("i,ij->j", weights.over(self.sizes), index.below[:, 1:]), budget)
        candidates = np.concatenate(
            [
                image.compress(codes == low if low == high else (codes >= low) & (codes <= high))
                for image, codes in zip(self._images, index.codes, strict=True)
            ]
        )
        owner = np.repeat(np.arange(len(self)), index.below[:, high + 1] - index.below[:, low])
        return PartOfPool(candidates, owner, index.below[:, low].astype(np.int64), self.sizes, weights).crossing(budget)

    def _build_index(self) -> _Index:
        # Some sixty scores of every image say where the bulk lies; bins need only be monotone, not even.
        bins = _Bins.of(np.concatenate([image[:: image.size // 64 + 1] for image in self._images]))
        sizes = self.sizes
        stops = np.cumsum(sizes)
        # One array for all codes: thousands of small ones would each pay for their own pages.
        flat, work = np.empty(stops[-1], np.uint8), np.empty(sizes.max(), np.float32)
        codes = [flat[stop - size : stop] for size, stop in zip(sizes, stops, strict=True)]
        below = np.zeros((len(self), _BINS + 1), np.int32 if sizes.max() < 2**31 else np.int64)
        with np.errstate(over="ignore"):
            for image, code, row in zip(self._images, codes, below, strict=True):
                bins.write_codes(image, code, work[: image.size])
                # NumPy's bincount copies eight bits into sixty-four first and takes twice as long.
                row[1:] = torch.bincount(torch.from_numpy(code), minlength=_BINS).numpy()
        return _Index(codes, np.cumsum(below, axis=1, out=below))


@dataclass(frozen=True)
class _Bins:
    """256 bins over the bulk of a sample; what lies outside falls in the first or the last."""

    lowest: np.float32
    scale: np.float32

    @classmethod
    def of(cls, sample: Scores) -> _Bins:
        # A few scores far from the others would put all of these into one bin.
        sample = np.sort(sample)
        outliers = sample.size // 512
        lowest, highest = sample[outliers], sample[sample.size - 1 - outliers]
        width = float(highest) - float(lowest)
        scale = min(_BINS / width, float(np.finfo(np.float32).max)) if width else 1.0
        return cls(lowest, np.float32(scale))

    def write_codes(self, scores: Scores, codes: NDArray[np.uint8], work: Scores) -> None:
        """Write the bins of scores; a monotone function, since every rounded operation in it is."""
        np.subtract(scores, self.lowest, out=work)
        np.multiply(work, self.scale, out=work)
        torch.from_numpy(work).clamp_(0, _BINS - 1)  # NumPy's clip takes twice as long
        codes[:] = work


@dataclass(frozen=True)
class Weights:
    """A positive rational weight of each image, as numerator and denominator."""

    numerators: Counts
    denominators: Counts

    @classmethod
    def equal(cls, count: int) -> Weights:
        """1 for each of so many images."""
        return cls(np.ones(count, np.int64), np.ones(count, np.int64))

    def over(self, sizes: Counts) -> NDArray[np.float64]:
        """What one missed pixel of each image costs, rounded."""
        return self.numerators / (self.denominators * sizes)

    def are_within(self, budget: Fraction, missed: Counts, sizes: Counts) -> bool:
        """Whether the weighted sum of shares is at most the budget, without rounding error."""
        return within_budget(self.numerators * missed, self.denominators * sizes, budget)


@dataclass(frozen=True)
class PartOfPool:
    """Scores among which the cutoff lies, the image of each, and what each image misses below all of them."""

    scores: Scores
    owner: Counts
    missed: Counts
    sizes: Counts
    weights: Weights

    def crossing(self, budget: Fraction) -> Crossing:
        """See :meth:`ScorePool.crossing`."""
        return _walk(_narrow(self, budget), budget)


def _bracket(risk_above: NDArray[np.float64], budget: Fraction) -> tuple[int, int]:
    """First and last bin that may hold the cutoff, given the summed risk of a cutoff above each bin, in float64."""
    # Sums of floats are off by less than this; what is this close to the budget is decided later, exactly.
    slack = 1e-9 * float(risk_above[-1])
    low, high = (int(np.searchsorted(risk_above, float(budget) + s, "right")) for s in (-slack, slack))
    return low, min(high, _BINS - 1)


def _narrow(part: PartOfPool, budget: Fraction) -> PartOfPool:
    """The same question among fewer scores, by one more round of binning."""
    codes = np.empty(part.scores.size, np.uint8)
    with np.errstate(over="ignore"):
        _Bins.of(part.scores).write_codes(part.scores, codes, np.empty_like(part.scores))
    # Whole numbers first: a running sum of 1e8 reciprocals would be off by more than the bracket allows.
    counts = np.bincount(part.owner * _BINS + codes, minlength=part.sizes.size * _BINS).reshape(-1, _BINS)
    np.cumsum(counts, axis=1, out=counts)
    costs = part.weights.over(part.sizes)
    low, high = _bracket((part.missed * costs).sum() + np.einsum("i,ij->j", costs, counts), budget)
    keep = (codes >= low) & (codes <= high)
    missed = part.missed + counts[:, low - 1] if low else part.missed
    return replace(part, scores=part.scores[keep], owner=part.owner[keep], missed=missed)


def _walk(part: PartOfPool, budget: Fraction) -> Crossing:
    """Raise the cutoff through the sorted scores as far as the budget allows."""
    order = np.argsort(part.scores, kind="stable")
    scores, owner = part.scores[order], part.owner[order]
    # A cutoff at the first of a run of equal scores misses all before the run and none of it.
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
    costs = part.weights.over(part.sizes)
    risk = np.r_[0.0, np.cumsum(costs[owner])][starts] + (part.missed * costs).sum()

    def missed(step: int) -> Counts:
        return part.missed + np.bincount(owner[: starts[step]], minlength=part.missed.size)

    # Floats say about where; one step at a time, rational numbers say exactly.
    step = max(int(np.searchsorted(risk, float(budget), "right")) - 1, 0)
    while step > 0 and not part.weights.are_within(budget, missed(step), part.sizes):
        step -= 1
    while step + 1 < starts.size and part.weights.are_within(budget, missed(step + 1), part.sizes):
        step += 1
    # Of equal zeros, which one comes first depends on the order of the images; plus zero makes both positive.
    return Crossing(float(scores[starts[step]]) + 0.0, missed(step))


def within_budget(missed: Counts, sizes: Counts, budget: Fraction) -> bool:
    """Whether the sum of shares is at most the budget, without rounding error."""
    total, bound = math.fsum(missed / sizes), float(budget)
    # Quotients and sum are correctly rounded: the total is off by at most half a unit in the last place of each term.
    if abs(total - bound) > (len(missed) + 2) * 2.0**-53 * max(1.0, bound):
        return total <= bound
    hit = missed > 0
    return sum((Fraction(int(k), int(m)) for k, m in zip(missed[hit], sizes[hit], strict=True)), Fraction(0)) <= budget
