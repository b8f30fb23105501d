# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The size of prediction sets as a metric."""

from __future__ import annotations

from collections.abc import Sequence

from monai.utils import MetricReduction, StrEnum
from torch import Tensor

from monai_coat.functional import precision, relative_set_size, set_fraction
from monai_coat.metrics._image_metric import ImageMetric

__all__ = ["SetSizeMetric", "SetSizeQuantity"]


class SetSizeQuantity(StrEnum):
    """A set's size: over the foreground, over the image, or as the share of it that is right."""

    RELATIVE = "relative"
    FRACTION = "fraction"
    PRECISION = "precision"


class SetSizeMetric(ImageMetric):
    """Mean size of the prediction set.

    Args:
        quantity: "relative", set over foreground (images with foreground); "fraction", set over image (all images);
            "precision", share of the set that is foreground (all images, 1 where the set is empty).
        cutoff: pixels with ``score >= cutoff`` are in the set; one number, or one per class that counts. 0.5 for masks.
        include_background: whether channel 0 counts.
        reduction: one of MONAI's metric reductions.
        get_not_nans: whether ``aggregate`` also returns the number of images that count.

    Raises:
        ValueError: if ``quantity`` is unknown.

    Example:
        >>> import torch
        >>> metric = SetSizeMetric("relative")
        >>> _ = metric(torch.tensor([[[0.9, 0.8, 0.7, 0.1]]]), torch.tensor([[[1, 1, 0, 0]]]))
        >>> metric.aggregate().item()
        1.5
    """

    def __init__(
        self,
        quantity: SetSizeQuantity | str = SetSizeQuantity.RELATIVE,
        cutoff: float | Sequence[float] = 0.5,
        include_background: bool = True,
        reduction: MetricReduction | str = MetricReduction.MEAN,
        get_not_nans: bool = False,
    ) -> None:
        super().__init__(cutoff, include_background, reduction, get_not_nans)
        if quantity not in list(SetSizeQuantity):
            raise ValueError(f"quantity must be one of {', '.join(SetSizeQuantity)}, got {quantity!r}.")
        self.quantity = SetSizeQuantity(quantity)

    def per_image(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The chosen quantity of each image and class."""
        if self.quantity == SetSizeQuantity.FRACTION:
            return set_fraction(scores, self.cutoff)
        return (relative_set_size if self.quantity == SetSizeQuantity.RELATIVE else precision)(
            scores, labels, self.cutoff
        )
