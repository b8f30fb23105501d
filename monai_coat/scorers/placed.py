# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scores of which ties at saturated probabilities are broken by place."""

from __future__ import annotations

from torch import Tensor

from monai_coat.functional import place_order
from monai_coat.scorers.base import Scorer

__all__ = ["PlacedScorer"]


class PlacedScorer(Scorer):
    r"""Another scorer's scores, with an order by place where probabilities are 0 or 1 and give none.

    .. math:: s'_j = s_j + b\, o_j

    with :math:`o` the :func:`~monai_coat.functional.place_order`. Where no probability is within a millionth of 0 or 1
    nothing changes.
    Elsewhere sets can grow on from what was seen, or shrink into the middle of what is sure, step by step: a map of 8
    bits has nothing between 1/255 and the whole image otherwise, and a level below what it reaches takes everything.

    Args:
        scorer: whose scores keep the order of probabilities within an image.
        slope: b, positive, in the unit of the scores; what a distance of the longest side stands for.

    Raises:
        TypeError: if ``scorer`` is none.
        ValueError: if ``slope`` is not positive.

    Example:
        >>> import torch
        >>> from monai_coat.scorers import ProbabilityScorer
        >>> probs = torch.tensor([[[0.0, 0.0, 0.5, 1.0]]])
        >>> PlacedScorer(ProbabilityScorer(), slope=1.0)(probs, probs)
        tensor([[[-0.5000, -0.2500,  0.5000,  1.2500]]])
    """

    def __init__(self, scorer: Scorer, slope: float = 20.0) -> None:
        super().__init__()
        if not isinstance(scorer, Scorer):
            raise TypeError(
                f"scorer must be a Scorer, got {type(scorer).__name__}; put predictors into a MarginScorer."
            )
        if not slope > 0:
            raise ValueError(f"slope must be positive, got {slope}; or leave the scorer as it is.")
        self.scorer, self.slope = scorer, float(slope)

    def forward(self, image: Tensor, probs: Tensor) -> Tensor:
        """Scores ``(B, C, *spatial)``."""
        scores: Tensor = self.scorer(image, probs)
        return scores + self.slope * place_order(probs)
