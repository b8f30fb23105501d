# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The coverage gap as a metric: the distance of each image's coverage from its target."""

from __future__ import annotations

from collections.abc import Sequence

from monai.utils import MetricReduction
from torch import Tensor

from monai_coat.functional import coverage_gap, exact_level, true_positive_rate
from monai_coat.metrics._image_metric import ImageMetric

__all__ = ["CoverageGapMetric"]


class CoverageGapMetric(ImageMetric):
    """Mean distance of coverage from ``1 - alpha`` over images with foreground.

    Taking every pixel has a gap of exactly ``alpha``: report a set size beside it.

    Args:
        alpha: tolerated mean false negative rate, in (0, 1).
        cutoff: pixels with ``score >= cutoff`` are in the set; one number, or one per class that counts. 0.5 for masks.
        include_background: whether channel 0 counts.
        reduction: one of MONAI's metric reductions.
        get_not_nans: whether ``aggregate`` also returns the number of images with foreground.

    Example:
        >>> import torch
        >>> metric = CoverageGapMetric(alpha=0.25)
        >>> _ = metric(torch.tensor([[[0.9, 0.2]], [[0.7, 0.6]]]), torch.ones(2, 1, 2))
        >>> metric.aggregate().item()
        0.25
    """

    def __init__(
        self,
        alpha: float,
        cutoff: float | Sequence[float] = 0.5,
        include_background: bool = True,
        reduction: MetricReduction | str = MetricReduction.MEAN,
        get_not_nans: bool = False,
    ) -> None:
        super().__init__(cutoff, include_background, reduction, get_not_nans)
        exact_level(alpha)
        self.alpha = float(alpha)

    def per_image(self, scores: Tensor, labels: Tensor) -> Tensor:
        """:func:`~monai_coat.functional.coverage_gap` of each image and class."""
        return coverage_gap(true_positive_rate(scores, labels, self.cutoff), self.alpha)
