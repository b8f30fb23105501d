# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MEG of either edition fitted to a stream of maps, so that a configuration need not know which it has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from monai_coat.scorers.base import Scorer
from monai_coat.scorers.expected_gap import ExpectedGapScorer
from monai_coat.scorers.margin import MarginScorer
from monai_coat.scorers.predictors.expected_gap import ExpectedGapPredictor

__all__ = ["fit_meg"]


def fit_meg(
    scorer: Scorer,
    batches: Iterable[tuple[Tensor, Tensor]],
    alpha: float,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> Scorer:
    """Fit a scorer of MEG, in place, and return it.

    Args:
        scorer: an :class:`~monai_coat.scorers.ExpectedGapScorer`, or a :class:`~monai_coat.scorers.MarginScorer` around
            an :class:`~monai_coat.scorers.ExpectedGapPredictor`.
        batches: probability maps ``(B, C, *spatial)`` and masks of the same shape, which are seen once.
        alpha: tolerated mean false negative rate, in (0, 1).
        seed: of what the first edition draws at random; the second draws nothing.
        groups: of each image, in the order of the batches, the name of what it belongs to, such as its video; None if
            each stands alone. The second edition leaves groups out together.

    Raises:
        TypeError: if the scorer is another one.
        ValueError: as the fit of the scorer.

    Example:
        >>> import torch
        >>> maps = [torch.rand(8, 1, 12, 12) ** 3 for _ in range(4)]
        >>> scorer = fit_meg(ExpectedGapScorer(), [(probs, torch.rand(probs.shape) < probs) for probs in maps], 0.1)
        >>> bool(scorer.fitted)
        True
    """
    if isinstance(scorer, ExpectedGapScorer):
        return scorer.fit_batches(batches, alpha, groups)
    if isinstance(scorer, MarginScorer) and isinstance(scorer.predictor, ExpectedGapPredictor):
        scorer.predictor.fit_batches(batches, alpha, seed)
        return scorer
    raise TypeError(
        f"scorer must be an ExpectedGapScorer or a MarginScorer around an ExpectedGapPredictor, got "
        f"{type(scorer).__name__}; other scorers are trained, or need no fit."
    )
