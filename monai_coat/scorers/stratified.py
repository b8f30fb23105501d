# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A scorer with one offset for each stratum of expected size, as in CCRA-S."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_coat.functional import foreground_scores
from monai_coat.functional.checks import check_alpha
from monai_coat.scorers.base import Scorer
from monai_coat.scorers.fitted import check_fitted

__all__ = ["StratifiedScorer"]


class StratifiedScorer(Scorer):
    r"""Another scorer's scores minus an offset for the stratum that the image falls in.

    Strata are quantiles of the probability map's mean, the size that is expected, which needs no label. The offset of a
    stratum is the cutoff at which its images have the tolerated false negative rate on average.

    CCRA-S, published for the scores of CRA, calibrates every stratum on its own part of the calibration set. Here the
    offsets are learned on other images and one cutoff is calibrated on top: the promise is marginal and exact, however
    small a stratum is. Per-stratum promises are a matter of one calibration per group. Classes share the strata.

    Args:
        scorer: scorer whose scores are shifted.
        num_strata: number of strata, at least 2; the paper's are 5.

    Raises:
        ValueError: if ``num_strata`` is below 2.
        RuntimeError: when called before it was fitted.

    Example:
        >>> from monai_coat.scorers import ProbabilityScorer
        >>> probs = torch.rand(40, 1, 8, 8)
        >>> labels = torch.rand_like(probs) < probs
        >>> scorer = StratifiedScorer(ProbabilityScorer(), 2).fit(probs, probs, labels, alpha=0.2)
        >>> scorer(probs, probs).shape
        torch.Size([40, 1, 8, 8])

    Source:
        Luo and Zhou, CRA (2025), CCRA-S, with K = 5 strata of total mass.
    """

    def __init__(self, scorer: nn.Module, num_strata: int = 5) -> None:
        super().__init__()
        if num_strata < 2:
            raise ValueError(f"num_strata must be at least 2, got {num_strata}; one stratum is the scorer itself.")
        self.scorer = scorer
        self.edges = nn.Buffer(torch.full((num_strata - 1,), torch.nan))
        self.offsets = nn.Buffer(torch.zeros(num_strata))

    def forward(self, image: Tensor, probs: Tensor) -> Tensor:
        """Shifted scores ``(B, C, *spatial)``."""
        check_fitted(~torch.isnan(self.edges).any(), "scorer")
        scores: Tensor = self.scorer(image, probs)
        offsets = self.offsets[self.stratum(probs)]
        return scores - offsets.reshape(list(offsets.shape) + [1] * (scores.dim() - 2))

    def stratum(self, probs: Tensor) -> Tensor:
        """Stratum ``(B, C)`` of each map, smallest first."""
        return torch.searchsorted(self.edges, probs.float().flatten(2).mean(-1))

    @torch.jit.unused
    def fit(self, image: Tensor, probs: Tensor, labels: Tensor, alpha: float) -> StratifiedScorer:
        """Fit edges and offsets to images that no calibration will use.

        Args:
            image: images ``(N, channels, *spatial)``, for the scorer.
            probs: their probability maps ``(N, C, *spatial)``.
            labels: reference masks.
            alpha: tolerated mean false negative rate, in (0, 1).

        Raises:
            ValueError: if ``alpha`` is no level, or a stratum is left without foreground.
        """
        alpha = check_alpha(alpha)
        with torch.no_grad():
            values, _ = foreground_scores(self.scorer(image, probs), labels)
        size = probs.float().flatten(2).mean(-1).flatten()
        has = torch.tensor([value.numel() > 0 for value in values])
        steps = torch.arange(1, len(self.offsets)) / len(self.offsets)
        self.edges.copy_(torch.quantile(size[has].double(), steps.double()))
        stratum = self.stratum(probs).flatten()
        for index in range(len(self.offsets)):
            chosen = [values[i] for i in torch.nonzero((stratum == index) & has).flatten().tolist()]
            if not chosen:
                raise ValueError(
                    f"probs must have images with foreground in every stratum, got none in stratum {index}; use fewer "
                    "strata or more images."
                )
            self.offsets[index] = _cutoff(chosen, alpha)
        return self


def _cutoff(values: list[Tensor], alpha: float) -> Tensor:
    """The largest score below which at most alpha of the foreground lies, each image weighing the same."""
    scores, order = torch.cat(values).sort()
    weight = torch.cat([v.new_full((v.numel(),), 1 / (v.numel() * len(values)), dtype=torch.float64) for v in values])
    below = weight[order].cumsum(0) - weight[order]
    return scores[max(int((below <= alpha).sum()) - 1, 0)]
