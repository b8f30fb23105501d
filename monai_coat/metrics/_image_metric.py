# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The base of metrics: one number per image and class, kept, gathered over workers, then reduced."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from monai.metrics import CumulativeIterationMetric
from monai.metrics.utils import do_metric_reduction
from monai.utils import MetricReduction
from torch import Tensor

from monai_coat.calibration import gather_objects

__all__: list[str] = []


class ImageMetric(CumulativeIterationMetric):
    """A number per image and class, NaN where it is undefined; NaN is left out of every reduction."""

    def __init__(
        self,
        cutoff: float | Sequence[float] = 0.5,
        include_background: bool = True,
        reduction: MetricReduction | str = MetricReduction.MEAN,
        get_not_nans: bool = False,
    ) -> None:
        super().__init__()
        self.cutoff: float | Tensor = float(cutoff) if isinstance(cutoff, int | float) else torch.tensor(cutoff)
        self.include_background = include_background
        self.reduction = MetricReduction(reduction)
        self.get_not_nans = get_not_nans
        self._channels: int | None = None

    @abstractmethod
    def per_image(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The value ``(B, C)`` of each image and class."""

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        if y is None:
            raise ValueError("y must be the reference masks, got None.")
        if not self.include_background:
            if y_pred.shape[1] == 1:
                raise ValueError(
                    "include_background=False needs at least two channels, got one; a single channel is foreground."
                )
            y_pred, y = y_pred[:, 1:], y[:, 1:]
        values = self.per_image(y_pred, y)
        self._channels = values.shape[1]
        return values

    def _compute_list(self, y_pred: Any, y: Any = None, **kwargs: Any) -> Any:
        if y is not None and len(y_pred) != len(y):
            raise ValueError(f"y_pred and y must have the same length, got {len(y_pred)} and {len(y)}.")
        return super()._compute_list(y_pred, y, **kwargs)

    def aggregate(self, reduction: MetricReduction | str | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Reduce the values of all images of all workers.

        Args:
            reduction: one of MONAI's reductions, by default the one of the constructor.

        Returns:
            The reduced value, with the number of values in it if ``get_not_nans``.

        Raises:
            ValueError: if no image was seen.
        """
        self._join_if_empty()
        values = self.get_buffer()  # type: ignore[no-untyped-call]
        if not isinstance(values, Tensor):
            raise ValueError("there is no image to aggregate; call the metric on at least one batch.")
        reduced, not_nans = do_metric_reduction(values, MetricReduction(reduction or self.reduction))
        return (reduced, not_nans) if self.get_not_nans else reduced

    def _join_if_empty(self) -> None:
        """Let a worker that saw no image take part in gathering: the host would leave the others waiting for it."""
        channels = [c for c in gather_objects(self._channels) if c is not None]
        if self._channels is None and channels:
            self._channels = channels[0]
            self.extend(torch.full((1, channels[0]), torch.nan, dtype=torch.float64))

    def reset(self) -> None:
        """Forget all images."""
        super().reset()  # type: ignore[no-untyped-call]
        self._channels = None
