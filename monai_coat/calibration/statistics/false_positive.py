# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The exact statistic of capped false positives: each image's highest background scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.calibration.statistics.base import Budget, Solution, Statistic, check_same_kind
from monai_coat.calibration.statistics.exact import CoverageStatistic
from monai_coat.calibration.statistics.shares import just_above
from monai_coat.functional import float32_below, highest_background

__all__ = ["FalsePositiveStatistic"]


class FalsePositiveStatistic(Statistic):
    """Background scores of the calibration images: in each, as many as it has foreground, the highest.

    Controlling false positives is controlling what is missed in the map of negative scores, in which the highest
    background counts as foreground.

    Example:
        >>> import torch
        >>> statistic = FalsePositiveStatistic()
        >>> statistic.update(torch.tensor([[[0.1, 0.9, 0.4, 0.6]]]), torch.tensor([[[0, 1, 0, 0]]]))
        >>> statistic.n
        (1,)
    """

    kind: ClassVar[str] = "background scores"

    def __init__(self) -> None:
        self._negative = CoverageStatistic()

    @property
    def measures(self) -> str:
        """The capped false positive ratio."""
        return "false_positive_ratio"

    @property
    def n(self) -> tuple[int, ...]:
        """Images with foreground and background, per class."""
        return self._negative.n

    @property
    def n_empty(self) -> tuple[int, ...]:
        """Images left out, per class."""
        return self._negative.n_empty

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add a batch of images; see :meth:`Statistic.update`."""
        # Rounded before it is negated: what it is rounded to passes a float32 cutoff if and only if the score does.
        marked = highest_background(scores, labels)
        self._negative.update(-float32_below(scores.detach()), marked)

    def merge(self, other: FalsePositiveStatistic) -> None:
        """Add all images of another statistic.

        Raises:
            TypeError: if the other is of another kind.
            ValueError: if the two hold different numbers of classes.
        """
        check_same_kind(self, other)
        self._negative.merge(other._negative)

    def solve(self, budget: Budget) -> tuple[Solution, ...]:
        """The smallest cutoff of each class whose summed risk is within the budget, exactly."""
        return tuple(replace(found, cutoff=just_above(-found.cutoff)) for found in self._negative.solve(budget))

    def risks_at(self, cutoffs: Sequence[float]) -> tuple[NDArray[np.float64], ...]:
        """The risk of each image that counts, per class, at a cutoff per class."""
        return self._negative.risks_at([just_above(-cutoff) for cutoff in cutoffs])

    @property
    def images(self) -> Sequence[Mapping[int, NDArray[np.float32]]]:
        """As :attr:`CoverageStatistic.images`."""
        return self._negative.images

    def state_dict(self) -> dict[str, Any]:
        """As :meth:`CoverageStatistic.state_dict`, of negative scores."""
        return self._negative.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the contents by those of :meth:`state_dict`."""
        self._negative.load_state_dict(state)
