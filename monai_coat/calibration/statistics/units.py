# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Exact statistics of images that weigh differently: those of one patient share a weight, or each has its own.

Tested by tests/calibration/guarantees/test_per_patient.py and test_weighted.py.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.calibration.grouping import text_of, value_of
from monai_coat.calibration.statistics.base import NO_PROMISE, Budget, Solution
from monai_coat.calibration.statistics.entries import check_names
from monai_coat.calibration.statistics.exact import CoverageStatistic
from monai_coat.calibration.statistics.pool import ScorePool, Weights
from monai_coat.calibration.statistics.shares import ShareRisk

__all__ = ["PatientStatistic", "WeightedStatistic", "weight_of"]

UNIT = 2**20
"""Weights are read to parts of this: their sums are then exact, and the same in any order."""

LARGEST_WEIGHT = 2**10


class _KeyedStatistic(CoverageStatistic):
    """Critical scores, and an entry of the metadata of each image by its place."""

    asks_metadata: ClassVar[bool] = True

    def __init__(self, risk: ShareRisk, key: str) -> None:
        super().__init__(risk)
        self.key, self.entries = key, list[str]()

    def update(self, scores: Tensor, labels: Tensor, meta: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Add a batch of images, whose metadata say the key.

        Raises:
            ValueError: as :meth:`Statistic.update`, or if an image has no such entry; nothing is added then.
        """
        rows = [None] * len(scores) if meta is None else list(meta)
        if len(rows) != len(scores):
            raise ValueError(f"meta must have an entry for each of the {len(scores)} images, got {len(rows)}.")
        entries = [self._entry(value_of(row, self.key)) for row in rows]
        super().update(scores, labels)
        self.entries += entries

    def _entry(self, value: Any) -> str:
        return text_of(value)

    def merge(self, other: Any) -> None:
        """Add all images of another statistic; see :meth:`CoverageStatistic.merge`."""
        if getattr(other, "key", self.key) != self.key:
            raise ValueError(f"other must be by {self.key!r}, got one by {other.key!r}; collect both with one.")
        super().merge(other)
        self.entries += other.entries

    def _entries_of(self, pool: ScorePool) -> list[str]:
        return [self.entries[place] for place in pool.positions]

    def state_dict(self) -> dict[str, Any]:
        """The scores, and the entries."""
        return {"scores": super().state_dict(), "entries": list(self.entries)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the contents by those of :meth:`state_dict`.

        Raises:
            ValueError: if the contents contradict themselves.
        """
        check_names(state, ("scores", "entries"))
        loaded, entries = CoverageStatistic(self.risk), [str(entry) for entry in state["entries"]]
        loaded.load_state_dict(state["scores"])
        if any(len(pool) + pool.n_empty != len(entries) for pool in loaded.pools):
            raise ValueError("entries must be one for each image")
        self._pools, self.entries = list(loaded.pools), entries


class PatientStatistic(_KeyedStatistic):
    r"""Critical scores of images that belong to patients: the risk of a patient is the mean over the patient's images.

    .. math:: L_p(c) = \frac{1}{|I_p|} \sum_{i \in I_p} L_i(c)

    Only images that count are in the mean; ``n`` and ``n_empty`` are numbers of patients.

    Args:
        risk: the risk of an image, a share of scores.
        key: the entry of the metadata that names the patient.

    Example:
        >>> import torch
        >>> from monai_coat.calibration import FalseNegativeRate
        >>> statistic = PatientStatistic(FalseNegativeRate(), "patient")
        >>> statistic.update(torch.rand(3, 1, 4), torch.ones(3, 1, 4), [{"patient": p} for p in "aab"])
        >>> statistic.n
        (2,)
    """

    kind: ClassVar[str] = "critical scores of patients"

    @property
    def n(self) -> tuple[int, ...]:
        """Patients with an image that counts, per class."""
        return tuple(len({*self._entries_of(pool)}) for pool in self.pools)

    @property
    def n_empty(self) -> tuple[int, ...]:
        """Patients without any, per class."""
        return tuple(len({*self.entries}) - n for n in self.n)

    def _weights(self, pool: ScorePool) -> Weights:
        entries = self._entries_of(pool)
        of_patient = Counter(entries)
        shares = np.array([of_patient[entry] for entry in entries], dtype=np.int64)
        return Weights(np.ones_like(shares), shares)

    def solve(self, budget: Budget) -> tuple[Solution, ...]:
        """The most useful cutoff of each class whose sum of patients' risks is within the budget, exactly."""
        return tuple(
            self._outside(_solution(pool, self._weights(pool), budget(n), n))
            for pool, n in zip(self.pools, self.n, strict=True)
        )

    def risks_at(self, cutoffs: Sequence[float]) -> tuple[NDArray[np.float64], ...]:
        """The risk of each patient who counts, per class, at a cutoff per class."""
        rows = []
        for pool, risks in zip(self.pools, super().risks_at(cutoffs), strict=True):
            _, patients = np.unique(self._entries_of(pool), return_inverse=True)
            # Sorted before they are summed: the order of images is no matter.
            order = np.lexsort((risks, patients))
            rows.append(np.bincount(patients[order], risks[order]) / np.bincount(patients))
        return tuple(rows)


class WeightedStatistic(_KeyedStatistic):
    """Critical scores of images that stand for more or fewer of those to come.

    Args:
        risk: the risk of an image, a share of scores.
        key: the entry of the metadata that is the image's weight, a positive number of at most 1024.

    Example:
        >>> import torch
        >>> from monai_coat.calibration import FalseNegativeRate
        >>> statistic = WeightedStatistic(FalseNegativeRate(), "weight")
        >>> statistic.update(torch.rand(2, 1, 4), torch.ones(2, 1, 4), [{"weight": 0.5}, {"weight": 1.5}])
        >>> statistic.n, statistic.total_weight(0)
        ((2,), Fraction(2, 1))
    """

    kind: ClassVar[str] = "weighted critical scores"

    def _entry(self, value: Any) -> str:
        try:
            weight = float(value)
        except (TypeError, ValueError):
            weight = math.nan
        if not 1 / UNIT <= weight <= LARGEST_WEIGHT:
            raise ValueError(
                f"{self.key} must be a weight from {1 / UNIT:.2g} to {LARGEST_WEIGHT}, got {value!r}; divide all "
                "weights by their mean."
            )
        return str(weight_of(weight, round) * UNIT)

    def _numerators(self, pool: ScorePool) -> NDArray[np.int64]:
        return np.array([int(entry) for entry in self._entries_of(pool)], dtype=np.int64)

    @property
    def largest_weight(self) -> Fraction:
        """The largest weight of any image; 0 if there is none."""
        return Fraction(max((int(entry) for entry in self.entries), default=0), UNIT)

    def total_weight(self, index: int) -> Fraction:
        """Sum of the weights of a class's images."""
        return Fraction(int(self._numerators(self.pools[index]).sum()), UNIT)

    def effective_n(self, index: int) -> float:
        """Number of images of equal weight that would tell as much: the squared sum of weights over that of squares."""
        weights = self._numerators(self.pools[index]) / UNIT
        return float(weights.sum() ** 2 / (weights**2).sum()) if weights.size else 0.0

    def solve_weighted(self, budgets: Sequence[Fraction]) -> tuple[Solution, ...]:
        """The most useful cutoff of each class whose weighted sum of risks is within the budget, exactly."""
        rows = []
        for index, (pool, budget) in enumerate(zip(self.pools, budgets, strict=True)):
            numerators = self._numerators(pool)
            weights = Weights(numerators, np.full_like(numerators, UNIT))
            rows.append(self._outside(_solution(pool, weights, budget, self.total_weight(index))))
        return tuple(rows)


def weight_of(value: float, rounded: Callable[[Fraction], int]) -> Fraction:
    """A weight in whole parts of :data:`UNIT`, given the decimal that it prints as and how it is rounded."""
    return Fraction(rounded(Fraction(str(float(value))) * UNIT), UNIT)


def _solution(pool: ScorePool, weights: Weights, budget: Fraction, total: Fraction | int) -> Solution:
    """The cutoff at a budget, with the weighted mean of risks."""
    if budget < 0:
        return NO_PROMISE
    crossing = pool.crossing(budget, weights)
    risks = weights.numerators * crossing.missed / (weights.denominators * pool.sizes)
    return Solution(crossing.cutoff, math.fsum(risks) / float(total))
