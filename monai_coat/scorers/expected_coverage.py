# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The expected coverage as the score: CRA."""

from __future__ import annotations

from torch import Tensor, nn

from monai_coat.functional import expected_coverage_scores
from monai_coat.scorers.base import Scorer

__all__ = ["ExpectedCoverageScorer"]


class ExpectedCoverageScorer(Scorer):
    """The score is the share of the map's probability mass not yet taken, as in CRA: one expected coverage for all.

    Args:
        calibrator: module applied to the probabilities first, such as a fitted :class:`IsotonicCalibration`.

    Example:
        >>> import torch
        >>> ExpectedCoverageScorer()(torch.rand(1, 3, 2, 2), torch.tensor([[[[0.5, 0.25], [0.25, 0.0]]]])).flatten()
        tensor([1.0000, 0.5000, 0.5000, 0.0000])

    Source:
        CRA (2025); pixels of equal probability share a score here.
    """

    def __init__(self, calibrator: nn.Module | None = None) -> None:
        super().__init__()
        self.calibrator = calibrator if calibrator is not None else nn.Identity()

    def forward(self, image: Tensor, probs: Tensor) -> Tensor:
        """Scores ``(B, C, *spatial)`` in [0, 1]."""
        calibrated: Tensor = self.calibrator(probs.float())
        return expected_coverage_scores(calibrated)
