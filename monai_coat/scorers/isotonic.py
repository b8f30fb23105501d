# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Isotonic calibration of probabilities, by scikit-learn."""

from __future__ import annotations

import torch
from monai.utils.module import optional_import
from torch import Tensor, nn

from monai_coat.functional.checks import check_finite, check_forms, check_labels
from monai_coat.scorers.fitted import check_fitted

__all__ = ["IsotonicCalibration"]

isotonic, _ = optional_import(
    "sklearn.isotonic",
    descriptor="scikit-learn must be installed to fit this; run pip install 'monai_coat[methods]' ({}).",
)


class IsotonicCalibration(nn.Module):
    """A monotone map of probabilities to the share of foreground among pixels that have them.

    A regression on bins that are even in the log odds; every image weighs the same, whatever its size. A slight slope
    is mixed in, so that the order of pixels shows where the regression is flat: it is never reversed, and pixels become
    equal only where float32 cannot tell their calibrated values apart, or where both probabilities lie within 1e-6 of 0
    or of 1. One map serves all classes.

    Args:
        bins: number of bins, at least 1.

    Raises:
        ValueError: if ``bins`` is below 1.
        OptionalImportError: when fitted without scikit-learn, which the extra ``methods`` installs.
        RuntimeError: when called before it was fitted.

    Example:
        >>> probs = torch.rand(8, 1, 32, 32)
        >>> calibration = IsotonicCalibration().fit(probs, torch.rand(8, 1, 32, 32) < probs**2)
        >>> bool((calibration(torch.tensor([0.5])) - 0.25).abs() < 0.1)
        True
    """

    slope = 1e-3

    def __init__(self, bins: int = 512) -> None:
        super().__init__()
        if bins < 1:
            raise ValueError(f"bins must be at least 1, got {bins}; 512 are ample.")
        self.values = nn.Buffer(torch.full((bins + 1,), torch.nan))

    def forward(self, probs: Tensor) -> Tensor:
        """Calibrated probabilities of the shape of ``probs``."""
        check_fitted(~torch.isnan(self.values[0]), "calibration")
        place = self._place(probs)
        # Clamped from below too: NaN, as an index, would be far outside, and as a weight stays NaN.
        left = place.floor().long().clamp(0, len(self.values) - 2)
        return torch.lerp(self.values[left], self.values[left + 1], (place - left).float())

    def _place(self, probs: Tensor) -> Tensor:
        """Position among the knots."""
        odds = torch.logit(probs.double(), 1e-6).clamp(-14.0, 14.0)
        return (odds + 14.0) / 28.0 * (len(self.values) - 1)

    @torch.jit.unused
    def fit(self, probs: Tensor, labels: Tensor) -> IsotonicCalibration:
        """Fit to probability maps ``(B, C, *spatial)`` and masks of images that no calibration will use.

        Raises:
            TypeError: if ``probs`` is not floating point.
            ValueError: if shapes differ, ``probs`` is not finite, or labels hold anything but 0 and 1.
        """
        check_forms(probs, labels)
        check_finite(probs, "probs")
        labels = check_labels(labels)
        knots = len(self.values)
        images, share = probs.shape[0] * probs.shape[1], 1.0 / probs[0, 0].numel()
        bins = self._place(probs).round().long().flatten()
        weight = torch.bincount(bins, minlength=knots).double() * share / images
        foreground = torch.bincount(bins, labels.flatten().double(), minlength=knots) * share / images
        has = weight > 0
        regression = isotonic.IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        steps = torch.arange(knots)
        regression.fit(steps[has].numpy(), (foreground[has] / weight[has]).numpy(), sample_weight=weight[has].numpy())
        fitted = torch.from_numpy(regression.predict(steps.numpy())).float()
        self.values.copy_((1 - self.slope) * fitted + self.slope * steps / (knots - 1))
        return self
