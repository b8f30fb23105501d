# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The scorers of a cross-validation as one: a pixel's score is the largest of theirs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monai_coat.scorers.base import Scorer

__all__ = ["FoldedScorer"]


class FoldedScorer(Scorer):
    r"""The largest score of several scorers, so that a set is the union of theirs.

    .. math:: s_j = \max_k s_{kj}, \qquad \{s \ge c\} = \bigcup_k \{s_k \ge c\}

    It is what :class:`~monai_coat.calibration.CrossRisk` promises something about, of scorers that were each fitted
    without one fold of the images. Each image of these folds is scored by the one that has not seen it, and none by all
    together.

    Args:
        scorers: at least one, fitted.

    Raises:
        TypeError: if one is no scorer.
        ValueError: if there is none.

    Example:
        >>> from monai_coat.scorers import ExpectedCoverageScorer, ProbabilityScorer
        >>> scorer, probs = FoldedScorer([ProbabilityScorer(), ExpectedCoverageScorer()]), torch.rand(1, 1, 8, 8)
        >>> bool((scorer(probs, probs) >= probs).all())
        True
    """

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        super().__init__()
        if not len(scorers):
            raise ValueError("scorers must hold at least one scorer, got none; give that of each fold.")
        for scorer in scorers:
            if not isinstance(scorer, Scorer):
                raise TypeError(f"scorers must hold scorers, got {type(scorer).__name__}; give that of each fold.")
        self.scorers = nn.ModuleList(scorers)

    def forward(self, image: Tensor, probs: Tensor) -> Tensor:
        """The largest scores ``(B, C, *spatial)`` in float32."""
        scores: list[Tensor] = []
        for scorer in self.scorers:
            found = scorer(image, probs)
            scores = [found if not scores else torch.maximum(scores[0], found)]
        return scores[0]

    @torch.jit.unused
    def calibrated_threshold(self, image: Tensor, probs: Tensor, cutoff: Tensor) -> Tensor | None:
        """The smallest threshold of any scorer, ``(B, C)``, which cuts the union; None if one has none."""
        found: list[Tensor] = []
        for scorer in self.scorers:
            threshold = scorer.calibrated_threshold(image, probs, cutoff)  # type: ignore[operator]
            if threshold is None:
                return None
            found.append(threshold)
        return torch.stack(found).amin(0)
