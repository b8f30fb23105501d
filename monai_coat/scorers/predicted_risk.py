# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The scorer of ReCIRC: the predicted risk of cutting at a pixel's probability."""

from __future__ import annotations

from typing import Any

import torch
from monai.utils.module import optional_import
from torch import Tensor, nn

from monai_coat.functional import coverage_curves, foreground_sketch, logit_scores
from monai_coat.scorers.base import Scorer
from monai_coat.scorers.fitted import check_fitted
from monai_coat.scorers.predictors.map_summaries import MapSummaries

__all__ = ["PredictedRiskScorer"]

ensemble, _ = optional_import(
    "sklearn.ensemble",
    descriptor="scikit-learn must be installed to fit this; run pip install 'monai_coat[methods]' ({}).",
)

_DEPTH = 3
_NODES = 2 ** (_DEPTH + 1) - 1


class PredictedRiskScorer(Scorer):
    r"""The score of a pixel is the risk that cutting at its probability is predicted to have.

    .. math:: s_j = \hat r(X, p_j), \qquad \hat r(X, \tau) \approx E[\mathrm{FNR}(\tau) \mid X]

    The risk rises with the threshold, so that :math:`\{s \ge c\}` is the set cut where the predicted risk reaches c:
    one predicted risk for all images.

    The regressor is scikit-learn's gradient boosting on :class:`MapSummaries` of the map and the threshold's log odds;
    its trees are kept in buffers, so that they travel with the weights and need no scikit-learn to score. Along the
    threshold the risk is made to rise by a running maximum, and a slope of 1e-3 keeps the order of pixels where trees
    are flat. One class.

    Args:
        trees: number of trees, at least 1.
        steps: thresholds of an image that the regressor learns from and is asked for, at least 2.

    Raises:
        ValueError: if ``trees`` is below 1 or ``steps`` below 2.
        OptionalImportError: when fitted without scikit-learn, which the extra ``methods`` installs.
        RuntimeError: when called before it was fitted.

    Example:
        >>> probs = torch.rand(40, 1, 16, 16)
        >>> scorer = PredictedRiskScorer(trees=5, steps=4).fit(probs, torch.rand_like(probs) < probs)
        >>> scorer(probs, probs).shape
        torch.Size([40, 1, 16, 16])

    Source:
        ReCIRC (2026), there with a choice of regressors.
    """

    def __init__(self, trees: int = 100, steps: int = 24) -> None:
        super().__init__()
        if trees < 1 or steps < 2:
            raise ValueError(
                f"trees must be at least 1 and steps at least 2, got {trees} and {steps}; risk is drawn between steps."
            )
        self.summaries = MapSummaries(1)
        self.ladder = nn.Buffer(torch.linspace(-9, 9, steps), persistent=False)
        self.mean = nn.Buffer(torch.tensor(torch.nan))
        self.feature = nn.Buffer(torch.zeros(trees, _NODES, dtype=torch.int64))
        self.split = nn.Buffer(torch.full((trees, _NODES), torch.inf, dtype=torch.float64))
        self.value = nn.Buffer(torch.zeros(trees, _NODES, dtype=torch.float64))

    def forward(self, image: Tensor, probs: Tensor) -> Tensor:
        """Scores ``(B, 1, *spatial)`` in about [0, 1]."""
        risk = self.risk(self.summaries(probs.float()))
        place = (logit_scores(probs).flatten(1) - self.ladder[0]) / (self.ladder[1] - self.ladder[0])
        place = place.clamp(0, len(self.ladder) - 1)
        # Clamped from below too: NaN, as an index, would be far outside, and as a weight stays NaN.
        left = place.floor().long().clamp(0, len(self.ladder) - 2)
        low, high = risk.gather(1, left), risk.gather(1, left + 1)
        # A tie at either end of the ladder is broken by the probability itself.
        ends = 1e-3 * probs.float().flatten(1)
        return (ends + torch.lerp(low, high, place - left)).reshape(probs.shape)

    def risk(self, summaries: Tensor) -> Tensor:
        """Predicted risk ``(B, steps)`` at each step of the ladder, rising."""
        check_fitted(~torch.isnan(self.mean), "scorer")
        rows = _rows(summaries, self.ladder)
        total = self.mean.double().expand(rows.shape[0])
        for feature, split, value in zip(self.feature, self.split, self.value, strict=True):
            node = torch.zeros(rows.shape[0], dtype=torch.int64, device=rows.device)
            for _ in range(_DEPTH):
                goes_left = rows.gather(1, feature[node][:, None])[:, 0] <= split[node]
                node = torch.where(goes_left, 2 * node + 1, 2 * node + 2)
            total = total + value[node]
        risk = total.reshape(-1, len(self.ladder)).cummax(1).values.clamp(0, 1)
        return (risk + 1e-3 * torch.linspace(0, 1, risk.shape[1], device=risk.device)).float()

    @torch.jit.unused
    def fit(self, probs: Tensor, labels: Tensor, seed: int = 0) -> PredictedRiskScorer:
        """Fit to maps and masks ``(N, 1, *spatial)`` of images that no calibration will use.

        Raises:
            ValueError: if there is more than one class, or no image with foreground.
        """
        if probs.shape[1] != 1:
            raise ValueError(f"probs must have one class, got {probs.shape[1]}; use one scorer per class.")
        risk = 1 - coverage_curves(foreground_sketch(probs, labels)[:, 0], torch.sigmoid(self.ladder))
        has = ~torch.isnan(risk[:, 0])
        if not bool(has.any()):
            raise ValueError("labels must have foreground on some image, got none.")
        rows, target = _rows(self.summaries(probs[has].float()), self.ladder).numpy(), risk[has].flatten().double()
        trees, mean = len(self.feature), target.mean()
        model = ensemble.GradientBoostingRegressor(
            n_estimators=trees, max_depth=_DEPTH, subsample=0.5, max_features=0.5, random_state=seed, init="zero"
        ).fit(rows, (target - mean).numpy())
        self.mean.copy_(mean)
        for index, (estimator,) in enumerate(model.estimators_):
            self._keep(index, estimator.tree_, model.learning_rate)
        return self

    def _keep(self, index: int, tree: Any, rate: float) -> None:
        """Lay a tree out as a full binary one: a leaf's children are copies of it."""
        places = {0: 0}
        for node in range(_NODES):
            source = places[node]
            leaf = tree.children_left[source] < 0
            self.feature[index, node] = 0 if leaf else int(tree.feature[source])
            self.split[index, node] = torch.inf if leaf else float(tree.threshold[source])
            self.value[index, node] = rate * float(tree.value[source].item())
            if 2 * node + 2 < _NODES:
                children = (source, source) if leaf else (tree.children_left[source], tree.children_right[source])
                places[2 * node + 1], places[2 * node + 2] = children


def _rows(summaries: Tensor, ladder: Tensor) -> Tensor:
    """One row per image and threshold: the summaries, then the threshold; as the trees compare them."""
    images, steps = summaries.shape[0], len(ladder)
    thresholds = ladder.repeat(images)[:, None]
    return torch.cat([summaries.repeat_interleave(steps, 0), thresholds], 1).float().double()
