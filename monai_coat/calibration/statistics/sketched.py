# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A statistic with sketches of each image's scores, for a rule about which images are referred.

Tested by tests/calibration/test_referral.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.calibration.referral import SizeSketch
from monai_coat.calibration.statistics.base import Budget, Solution, Statistic, check_same_kind, update_with
from monai_coat.calibration.statistics.entries import check_names

__all__ = ["SketchedStatistic"]


class SketchedStatistic(Statistic):
    """A statistic, and beside it the sketches of all images, those that do not count too.

    Args:
        statistic: an empty one.
    """

    kind: ClassVar[str] = "sketched"

    def __init__(self, statistic: Statistic) -> None:
        self.statistic = statistic
        self.sketches: list[tuple[SizeSketch, ...]] = []

    @property
    def asks_metadata(self) -> bool:  # type: ignore[override]
        """As of the statistic."""
        return self.statistic.asks_metadata

    @property
    def measures(self) -> str:
        """As of the statistic."""
        return self.statistic.measures

    @property
    def n(self) -> tuple[int, ...]:
        """As of the statistic."""
        return self.statistic.n

    @property
    def n_empty(self) -> tuple[int, ...]:
        """As of the statistic."""
        return self.statistic.n_empty

    def update(self, scores: Tensor, labels: Tensor, meta: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Add a batch of images; see :meth:`Statistic.update`."""
        update_with(self.statistic, scores, labels, meta)
        self.sketches += [tuple(SizeSketch.of(score) for score in image) for image in scores]

    def merge(self, other: SketchedStatistic) -> None:
        """Add all images of another statistic; see :meth:`Statistic.merge`."""
        check_same_kind(self, other)
        self.statistic.merge(other.statistic)
        self.sketches += other.sketches

    def solve(self, budget: Budget) -> tuple[Solution, ...]:
        """As of the statistic."""
        return self.statistic.solve(budget)

    def risks_at(self, cutoffs: Sequence[float]) -> tuple[NDArray[np.float64], ...]:
        """As of the statistic."""
        return self.statistic.risks_at(cutoffs)

    @property
    def images(self) -> Sequence[Mapping[int, NDArray[Any]]]:
        """As of the statistic."""
        return self.statistic.images

    def state_dict(self) -> dict[str, Any]:
        """The statistic's state, and the sketches."""
        sketches = [[torch.from_numpy(sketch.largest) for sketch in image] for image in self.sketches]
        return {"statistic": self.statistic.state_dict(), "sketches": sketches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the contents by those of :meth:`state_dict`.

        Raises:
            ValueError: if the contents contradict themselves.
        """
        check_names(state, ("statistic", "sketches"))
        self.statistic.load_state_dict(state["statistic"])
        self.sketches = [tuple(SizeSketch(part.numpy()) for part in image) for image in state["sketches"]]
