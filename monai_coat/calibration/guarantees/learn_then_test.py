# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Several promises at once, also about risks that go up and down with the cutoff: learn then test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from monai_coat.calibration.guarantees.base import Guarantee, sentence_of
from monai_coat.calibration.guarantees.confident import complement
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.risks import risk_named
from monai_coat.calibration.risks.base import Risk, check_risk
from monai_coat.calibration.risks.false_negative import FalseNegativeRate
from monai_coat.calibration.statistics.base import LARGEST, Statistic
from monai_coat.calibration.statistics.gridded import GriddedStatistic
from monai_coat.functional import exact_level, graphical_test, hoeffding_bentkus_p_value, holm_graph, sequence_graph
from monai_coat.functional.checks import check_delta

__all__ = ["PROCEDURES", "LearnThenTest"]

PROCEDURES = ("fixed_sequence", "holm", "graphical")
STARTS = 10
"""Sequences of the graphical procedure."""


@dataclass(frozen=True)
class LearnThenTest(Guarantee):
    r"""With probability at least ``1 - delta``, every one of several mean risks is at most its own level.

    .. math:: P\big(E[L_j(\hat c) \mid \hat c] \le \alpha_j \text{ for all } j\big) \ge 1 - \delta

    Each cutoff of a grid is a hypothesis, "some risk is above its level here", with the largest Hoeffding-Bentkus
    p-value of the risks; cutoffs at which it is rejected, with any false rejection at all having probability at most
    delta, keep every promise. Of these the one with the smallest sets is taken, the highest. So little is missed, and
    little of what is marked is wrong, from one calibration set: :class:`~monai_coat.calibration.FalseDiscoveryRate`,
    which may rise and fall, is promised this way only.

    Where no cutoff keeps all levels, that is said, with the nearest level of each risk that would do.

    Args:
        risk: what one image loses.
        alpha: tolerated mean of it, in (0, 1).
        delta: tolerated probability that any promise is not kept, in (0, 1), for each class by itself.
        also: other risks and their levels, as a mapping from :attr:`Risk.key` to a level.
        grid: lowest and highest cutoff, and number of steps between; chosen before the images are seen.
        procedure: ``fixed_sequence`` tests cutoffs from the safe end of the first risk on, up to the first that is not
            rejected: best for one risk; ``graphical`` begins so at ten cutoffs of the grid with a tenth of delta
            each, and what one sequence has won the next goes on with: for several risks; ``holm`` tests all.
        class_names: what messages and the words of the promise call the classes.

    Raises:
        TypeError: if ``risk`` is no risk, or a level no number.
        ValueError: if a level, the grid or the procedure is none.

    Example:
        >>> import torch
        >>> also = {"false_discovery_rate": 0.6}
        >>> guarantee = LearnThenTest(FalseNegativeRate(), 0.4, 0.1, also, grid=(0, 1, 20))
        >>> guarantee.promise
        'P(E[FNR] <= 0.4 and E[FDR] <= 0.6) >= 0.9'
        >>> statistic = guarantee.statistic()
        >>> labels = torch.arange(16).reshape(1, 1, 16).expand(100, 1, 16) < 8
        >>> statistic.update(0.4 * torch.rand(100, 1, 16) + 0.4 * labels, labels)
        >>> 0.4 < guarantee.calibrate(statistic).cutoff[0] < 0.6
        True

    Source:
        Angelopoulos et al., Learn then Test: Calibrating Predictive Algorithms to Achieve Risk Control (2021), sections
        2 and 3; for the graph, Bretz et al. (Statistics in Medicine 2009).
    """

    name: ClassVar[str] = "learn_then_test"
    risk: Risk = field(default_factory=FalseNegativeRate)
    alpha: float = 0.1
    delta: float = 0.1
    also: Mapping[str, float] = field(default_factory=dict)
    grid: tuple[float, float, int] = (-1.0, 1.0, 200)
    procedure: str = "graphical"
    class_names: Sequence[str] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        check_risk(self.risk)
        for level in (self.alpha, *self.also.values()):
            exact_level(level)
        check_delta(self.delta)
        if self.procedure not in PROCEDURES:
            raise ValueError(f"procedure must be one of {', '.join(PROCEDURES)}, got {self.procedure!r}.")
        if not isinstance(self.grid, Sequence) or len(self.grid) != 3:
            raise ValueError(f"grid must be (low, high, steps), got {self.grid}; such as (0, 1, 200) of probabilities.")
        low, high, steps = self.grid
        if not -LARGEST <= low < high <= LARGEST or steps != int(steps) or steps < 1 or self.joint_differs:
            raise ValueError(
                f"grid must be (low, high, steps) with low < high, and risks all joint or none, got {self.grid} and "
                f"{', '.join(risk.key for risk in self.risks)}."
            )

    @property
    def risks(self) -> tuple[Risk, ...]:
        """All risks, the first one first."""
        return (self.risk, *(risk_named(key) for key in self.also))

    @property
    def levels(self) -> tuple[float, ...]:
        """The level of each risk."""
        return (float(self.alpha), *map(float, self.also.values()))

    @property
    def joint_differs(self) -> bool:
        """Whether some risks are of all classes together, and some are not."""
        return len({risk.joint for risk in self.risks}) > 1

    @property
    def cutoffs(self) -> NDArray[np.float32]:
        """The grid."""
        low, high, steps = self.grid
        return np.linspace(low, high, int(steps) + 1).astype(np.float32)

    @property
    def promise(self) -> str:
        """All levels, and the probability that all are kept."""
        parts = [f"{risk.expected_words} <= {level}" for risk, level in zip(self.risks, self.levels, strict=True)]
        return f"P({' and '.join(parts)}) >= {complement(self.delta)}"

    @property
    def lead(self) -> str:
        """In how many calibrations."""
        return f"In all but {100 * self.delta:g} of 100 calibrations like this one: "

    def in_words(self, result: CalibrationResult) -> str:
        """A sentence of each risk; see :meth:`Guarantee.in_words`."""
        pairs = zip(self.risks, self.levels, strict=True)
        return f"{self.lead}{' '.join(sentence_of(risk, alpha, risk.counted) for risk, alpha in pairs)} {self.limits}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """Probability of failure, other risks, grid and procedure."""
        return {
            "delta": float(self.delta),
            "also": {key: float(level) for key, level in self.also.items()},
            "grid": [float(self.grid[0]), float(self.grid[1]), int(self.grid[2])],
            "procedure": self.procedure,
        }

    @property
    def words(self) -> str:
        """The promise, what it is over, and how it was found."""
        low, high, steps = self.grid
        return (
            f"{self.promise} over draws of the n calibration images, the means being over new images, drawn as they "
            f"were and independently (Hoeffding-Bentkus, {self.procedure} over {int(steps) + 1} cutoffs, steps of "
            f"{(high - low) / steps:.3g})"
        )

    def opening(self, result: CalibrationResult) -> str:
        """How the words of a result begin."""
        return self.words

    def statistic(self) -> GriddedStatistic:
        """Sums of all risks on the grid."""
        return GriddedStatistic(self.risks, self.cutoffs.tolist())

    def calibrate(self, statistic: Statistic) -> CalibrationResult:
        """The highest cutoff at which every promise is kept; see :meth:`Guarantee.calibrate`.

        Raises:
            TypeError: if the statistic is another.
            ValueError: if there is none, with the nearest levels that would do.
        """
        expected = self.statistic()
        if not isinstance(statistic, GriddedStatistic) or statistic.measures != expected.measures:
            raise TypeError(
                f"statistic must be sums of {expected.measures} on a grid, got {type(statistic).__name__} of "
                f"{getattr(statistic, 'measures', 'nothing')}; use guarantee.statistic()."
            )
        if statistic.cutoffs != expected.cutoffs:
            raise ValueError("statistic must be on the grid of the guarantee, got another; collect it again.")
        if not statistic.n:
            raise ValueError("statistic must hold at least one image, got none; call update(scores, labels) first.")
        steps = [self._step(statistic, index) for index in range(len(statistic.n))]
        totals = [statistic.total_at(0, index, step) for index, step in enumerate(steps)]
        rows = list(zip(totals, statistic.n, strict=True))
        return CalibrationResult(
            cutoff=tuple(statistic.cutoffs[step] + 0.0 for step in steps),
            alpha=float(self.alpha),
            n=statistic.n,
            n_empty=statistic.n_empty,
            risk=tuple(min(1.0, float(total / n)) for total, n in rows),
            guarantee=self.words,
            controls=self.risk.key,
            kind=self.name,
            settings=self.settings,
        )

    def _step(self, statistic: GriddedStatistic, index: int) -> int:
        """The highest step of the grid that keeps all levels, of one class."""
        p_values = self._p_values(statistic, index)
        kept = np.flatnonzero(graphical_test(p_values.max(0), self._graph(p_values.shape[1]), self.delta))
        if kept.size:
            return int(kept[-1] if self.risk.rises else kept[0])
        raise ValueError(
            f"levels must be such that a cutoff keeps all of them, got {self.promise}, which is infeasible for "
            f"{self._called(index)} with n = {statistic.n[index]}; {self._nearest(statistic, index)}."
        )

    def _called(self, index: int) -> str:
        return repr(self.class_names[index]) if self.class_names else f"class {index}"

    def _p_values(self, statistic: GriddedStatistic, index: int) -> NDArray[np.float64]:
        """Of each risk and cutoff, ``(R, G)``."""
        return np.array(
            [_p_values(statistic, risk, index, level) for risk, level in enumerate(self.levels)], dtype=np.float64
        )

    def _graph(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.procedure == "holm":
            return holm_graph(count)
        starts = 1 if self.procedure == "fixed_sequence" else min(STARTS, count)
        return sequence_graph(count, starts, downwards=not self.risk.rises)

    def _nearest(self, statistic: GriddedStatistic, index: int) -> str:
        """For each risk, the least level in steps of 0.01 that would do with the others as they are."""
        found = []
        count, graph = len(statistic.cutoffs), self._graph(len(statistic.cutoffs))
        others = self._p_values(statistic, index)
        for place, risk in enumerate(self.risks):
            rest = np.delete(others, place, 0).max(0) if len(others) > 1 else np.zeros(count)
            low, high = int(100 * self.levels[place]), 100
            while high - low > 1:
                middle = (low + high) // 2
                p_values = np.maximum(rest, _p_values(statistic, place, index, middle / 100))
                low, high = (low, middle) if graphical_test(p_values, graph, self.delta).any() else (middle, high)
            if high < 100:
                found.append(f"{risk.expected_words} <= {high / 100:g}")
        nearest = ", or ".join(found) or "none of them alone"
        return f"nearest, with the others as they are, would be {nearest}; raise a level, or add images"

    def check(self, result: CalibrationResult) -> None:
        """Refuse a result whose first risk is no evidence for its level.

        Raises:
            ValueError: if it is not.
        """
        for n, risk in zip(result.n, result.risk, strict=True):
            if hoeffding_bentkus_p_value(risk * n * (1 - 1e-9), n, self.alpha) > self.delta:
                raise ValueError(f"risk must keep {self.promise!r} with n = {n}, got {risk:.6g}")


def _p_values(statistic: GriddedStatistic, risk: int, index: int, level: float) -> NDArray[np.float64]:
    """Of one risk at each cutoff; 1 where no image counts."""
    n = statistic.n_of(risk)[index]
    sums = [statistic.total_at(risk, index, step) for step in range(len(statistic.cutoffs))]
    known: dict[Fraction, float] = {}
    for total in sums:
        if total not in known:
            known[total] = hoeffding_bentkus_p_value(total, n, level) if n else 1.0
    return np.array([known[total] for total in sums])
