# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The linear threshold predictor of AA-CRC."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_coat.scorers.fitted import check_fitted
from monai_coat.scorers.predictors.map_summaries import MapSummaries

__all__ = ["LinearThresholdPredictor"]


class LinearThresholdPredictor(nn.Module):
    r"""Thresholds :math:`\hat\tau(X) = \theta_0 + \Phi(X)^\top \theta`, a predictor for :class:`MarginScorer`.

    The coefficients come from :func:`~monai_coat.scorers.fit_linear_thresholds` on images that no calibration will
    use; the ordinary controller then gives the exact marginal promise. Thresholds are not clipped.

    Args:
        num_classes: channels of the probability map.
        embedding: module that maps image and probability map to features ``(B, d)``; by default :class:`MapSummaries`
            of the map. The authors' is the last hidden layer of a network that was trained to predict thresholds.
        num_features: d, with an ``embedding``.

    Raises:
        ValueError: if an embedding comes without ``num_features``.
        RuntimeError: when called before :meth:`set_coefficients`.

    Example:
        >>> from monai_coat.scorers import fit_linear_thresholds
        >>> from monai_coat.functional import foreground_sketch
        >>> probs = torch.rand(40, 1, 16, 16)
        >>> sketches = foreground_sketch(probs, torch.ones_like(probs))
        >>> predictor = LinearThresholdPredictor()
        >>> theta = fit_linear_thresholds(predictor.features(probs, probs), sketches[:, 0], level=0.1, ridge=1e-3)
        >>> predictor.set_coefficients(theta[None])(probs, probs).shape
        torch.Size([40, 1])

    Source:
        Blot et al., Automatically Adaptive Conformal Risk Control (AISTATS 2025), section 4 for the features.
    """

    def __init__(
        self, num_classes: int = 1, embedding: nn.Module | None = None, num_features: int | None = None
    ) -> None:
        super().__init__()
        if embedding is not None and num_features is None:
            raise ValueError("num_features must be given with an embedding, got None; it is the embedding's width.")
        self.embedding = embedding if embedding is not None else _OfMap(MapSummaries(num_classes))
        width = MapSummaries.per_class * num_classes if num_features is None else num_features
        self.coefficients = nn.Buffer(torch.full((num_classes, width + 1), torch.nan))

    def features(self, image: Tensor, probs: Tensor) -> Tensor:
        r""":math:`\Phi`, ``(B, d)``, without a constant."""
        features: Tensor = self.embedding(image, probs)
        return features.float()

    def forward(self, image: Tensor, probs: Tensor) -> Tensor:
        """Thresholds ``(B, C)`` of images ``(B, channels, *spatial)`` and maps ``(B, C, *spatial)``."""
        check_fitted(~torch.isnan(self.coefficients).any(), "predictor", "set_coefficients")
        features = self.features(image, probs)
        return features @ self.coefficients[:, 1:].T + self.coefficients[:, 0]

    @torch.jit.unused
    def set_coefficients(self, coefficients: Tensor) -> LinearThresholdPredictor:
        """Take the coefficients of every class, ``(C, d + 1)``, the constant first."""
        if coefficients.shape != self.coefficients.shape or not bool(torch.isfinite(coefficients).all()):
            raise ValueError(
                f"coefficients must be finite and of shape {tuple(self.coefficients.shape)}, got "
                f"{tuple(coefficients.shape)}; fit each class on this predictor's features."
            )
        self.coefficients.copy_(coefficients)
        return self


class _OfMap(nn.Module):
    def __init__(self, summaries: nn.Module) -> None:
        super().__init__()
        self.summaries = summaries

    def forward(self, image: Tensor, probs: Tensor) -> Tensor:
        summaries: Tensor = self.summaries(probs.float())
        return summaries
