# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sums of several risks on a grid of cutoffs, for risks that do not go one way with the cutoff.

Tested by tests/calibration/guarantees/test_learn_then_test.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from monai_coat.calibration.statistics.base import Budget, Solution, Statistic, check_same_kind
from monai_coat.calibration.statistics.entries import array_in, check_names
from monai_coat.functional import float32_below

__all__ = ["GriddedStatistic"]

UNIT = 2**32
"""Risks are rounded up to parts of this: their sums are the same in any order."""


class _Risk(Protocol):
    @property
    def key(self) -> str: ...

    def image_risk(self, scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor: ...


class GriddedStatistic(Statistic):
    r"""For each risk and each cutoff of a grid, the sum over images.

    .. math:: R_{je} = \sum_{i=1}^{n_j} \frac{1}{u} \lceil u\, L_{ji}(c_e) \rceil, \qquad u = 2^{32}

    Args:
        risks: what is summed; each may go up and down with the cutoff.
        cutoffs: the grid, ascending.

    Example:
        >>> from monai_coat.calibration import FalseDiscoveryRate, FalseNegativeRate
        >>> statistic = GriddedStatistic((FalseNegativeRate(), FalseDiscoveryRate()), (0.25, 0.75))
        >>> statistic.update(torch.tensor([[[0.5, 0.9]]]), torch.tensor([[[0, 1]]]))
        >>> [[float(statistic.total_at(risk, 0, step)) for step in (0, 1)] for risk in (0, 1)]
        [[0.0, 0.0], [0.5, 0.0]]
    """

    kind: ClassVar[str] = "gridded"

    def __init__(self, risks: Sequence[_Risk], cutoffs: Sequence[float]) -> None:
        self.risks, self.cutoffs = tuple(risks), tuple(float(np.float32(cutoff)) for cutoff in cutoffs)
        self.sums = np.zeros((len(self.risks), 0, len(self.cutoffs)), np.int64)
        self.counts = np.zeros((2, len(self.risks), 0), np.int64)

    @property
    def measures(self) -> str:
        """Keys of the risks."""
        return " and ".join(risk.key for risk in self.risks)

    @property
    def n(self) -> tuple[int, ...]:
        """Images that count for the first risk, per class."""
        return tuple(self.counts[0, 0].tolist())

    @property
    def n_empty(self) -> tuple[int, ...]:
        """Images left out of the first risk, per class."""
        return tuple(self.counts[1, 0].tolist())

    def n_of(self, risk: int) -> tuple[int, ...]:
        """Images that count for one of the risks, per class."""
        return tuple(self.counts[0, risk].tolist())

    def total_at(self, risk: int, index: int, step: int) -> Fraction:
        """Sum of a risk over the images of a class, at one cutoff, rounded up."""
        return Fraction(int(self.sums[risk, index, step]), UNIT)

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add a batch of images; see :meth:`Statistic.update`."""
        maps = float32_below(scores.detach())
        rows = torch.stack(
            [torch.stack([risk.image_risk(maps, labels, c) for c in self.cutoffs], -1) for risk in self.risks]
        ).expand(-1, -1, scores.shape[1], -1)  # a joint risk stands for each class
        risks = rows.cpu().numpy()  # (R, B, C, G)
        if self.sums.shape[1] not in (0, risks.shape[2]):
            raise ValueError(
                f"scores must have the {self.sums.shape[1]} classes of the batches before, got {risks.shape[2]}; use "
                "one statistic per network."
            )
        counted = ~np.isnan(risks[..., 0])
        sums = np.ceil(np.nan_to_num(risks) * UNIT).astype(np.int64).sum(1)
        counts = np.stack([counted.sum(1), (~counted).sum(1)])
        if not self.sums.shape[1]:
            self.sums, self.counts = sums, counts
        else:
            self.sums, self.counts = self.sums + sums, self.counts + counts

    def merge(self, other: GriddedStatistic) -> None:
        """Add all images of another statistic.

        Raises:
            TypeError: if the other is of another kind.
            ValueError: if risks, cutoffs or classes differ.
        """
        check_same_kind(self, other)
        if self.cutoffs != other.cutoffs or (self.n and other.n and len(self.n) != len(other.n)):
            raise ValueError("other must have the same grid and classes, got others; collect both with one.")
        if not self.n:
            self.sums, self.counts = other.sums.copy(), other.counts.copy()
        elif other.n:
            self.sums, self.counts = self.sums + other.sums, self.counts + other.counts

    def solve(self, budget: Budget) -> tuple[Solution, ...]:
        """Not by a budget.

        Raises:
            TypeError: always; :class:`~monai_coat.calibration.LearnThenTest` tests each cutoff.
        """
        raise TypeError("guarantee must be LearnThenTest, which tests each cutoff of the grid, got another.")

    def state_dict(self) -> dict[str, Any]:
        """Sums and numbers of images."""
        return {"sums": torch.from_numpy(self.sums), "counts": torch.from_numpy(self.counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the contents by those of :meth:`state_dict`.

        Raises:
            ValueError: if the contents contradict themselves.
        """
        check_names(state, ("sums", "counts"))
        sums, counts = array_in(state, "sums", np.int64, 3), array_in(state, "counts", np.int64, 3)
        shape = (len(self.risks), counts.shape[2], len(self.cutoffs))
        if sums.shape != shape or counts.shape[:2] != (2, len(self.risks)) or (sums < 0).any() or (counts < 0).any():
            raise ValueError(f"sums must have the shape {shape}, got {sums.shape}")
        if (sums > counts[0][..., None] * UNIT).any():
            raise ValueError("sums must be at most one per image")
        self.sums, self.counts = sums.copy(), counts.copy()
