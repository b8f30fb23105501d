# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The scorer of SACP, adapted: probabilities weighted by the distance to the predicted boundary."""

from __future__ import annotations

import torch
from monai.transforms.utils import distance_transform_edt
from torch import Tensor

from monai_coat.scorers.base import Scorer

__all__ = ["BoundaryDistanceScorer"]


class BoundaryDistanceScorer(Scorer):
    r"""SACP (adapted): what a pixel lacks in probability counts less the nearer it lies to a critical interface.

    .. math:: s_j = 1 - w_j\,(1 - p_j), \qquad w_j = \sigma(10\,\kappa\,d_j\,h_j)

    with :math:`d_j` the distance to the boundary of the predicted object :math:`\{p \ge 1/2\}` and
    :math:`h_j = -\ln(p_j + 10^{-5})`, each clipped at its 95th percentile in the image and divided by it. At the
    boundary the weight is 1/2, far from it, where the network sees nothing, 1.

    What differs from the paper: the interface there is a vessel, of which a polyp or a fire has none; a second
    distance, to the tumour, falls away; cutoffs come from conformal risk control over images, where the paper takes a
    percentile of pooled voxels and applies weights at test time only, so that its sets contain the unweighted ones. An
    image without a pixel at 1/2 or above, or without one below, has no boundary and keeps its probabilities as scores.
    Scores are not monotone in the probability.

    Args:
        kappa: sharpness of the weight; the paper's are 1.2 and 1.5, by vessel.

    Raises:
        ValueError: if ``kappa`` is not positive.
        RuntimeError: by MONAI, when called without SciPy, which the extra ``methods`` installs.

    Example:
        >>> probs = torch.tensor([0.9, 0.5, 0.4, 0.1]).reshape(1, 1, 2, 2)
        >>> BoundaryDistanceScorer()(torch.rand(1, 3, 2, 2), probs).shape
        torch.Size([1, 1, 2, 2])

    Source:
        Bereska, Karimi, Samavi (MIDL 2025), distance-weighted score.
    """

    def __init__(self, kappa: float = 1.5) -> None:
        super().__init__()
        if not kappa > 0:
            raise ValueError(f"kappa must be positive, got {kappa}; the paper's are 1.2 and 1.5.")
        self.kappa = kappa

    def forward(self, image: Tensor, probs: Tensor) -> Tensor:
        """Scores ``(B, C, *spatial)`` in [0, 1]."""
        probs = probs.float()
        return torch.stack([torch.stack([self._scores(of_class) for of_class in of_image]) for of_image in probs])

    def _scores(self, probs: Tensor) -> Tensor:
        """Scores of one map."""
        inside = probs >= 0.5
        if not bool(inside.any()) or bool(inside.all()):
            return probs
        distance = _distance(inside) + _distance(~inside)
        lack = -torch.log(probs + 1e-5)
        weight = torch.sigmoid(10 * self.kappa * _scaled(distance) * _scaled(lack))
        # Distances come in float64.
        return (1 - weight * (1 - probs)).float()


def _distance(mask: Tensor) -> Tensor:
    """Distance of the pixels inside a mask to its outside, 0 outside."""
    return torch.as_tensor(distance_transform_edt(mask[None].float()))[0].to(mask.device)


def _scaled(values: Tensor) -> Tensor:
    top = torch.quantile(values.flatten()[:: max(values.numel() // 2**20, 1)], 0.95).clamp(min=1e-6)
    return values.clamp(min=0).minimum(top) / top
