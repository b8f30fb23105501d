# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Coverage as a metric: the true positive rate of prediction sets, image by image."""

from __future__ import annotations

from torch import Tensor

from monai_coat.functional import true_positive_rate
from monai_coat.metrics._image_metric import ImageMetric

__all__ = ["CoverageMetric"]


class CoverageMetric(ImageMetric):
    """Mean coverage over images with foreground; of one class, the marginal coverage.

    Args:
        cutoff: pixels with ``score >= cutoff`` are in the set; one number, or one per class that counts. 0.5 for masks.
        include_background: whether channel 0 counts.
        reduction: one of MONAI's metric reductions.
        get_not_nans: whether ``aggregate`` also returns the number of images with foreground.

    Example:
        >>> import torch
        >>> metric = CoverageMetric(cutoff=0.5)
        >>> _ = metric(torch.tensor([[[0.9, 0.2]], [[0.7, 0.6]]]), torch.ones(2, 1, 2))
        >>> metric.aggregate().item()
        0.75
    """

    def per_image(self, scores: Tensor, labels: Tensor) -> Tensor:
        """:func:`~monai_coat.functional.true_positive_rate` of each image and class."""
        return true_positive_rate(scores, labels, self.cutoff)
