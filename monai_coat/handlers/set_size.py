# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Size of prediction sets in an engine's metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monai.handlers import IgniteMetricHandler
from monai.utils import MetricReduction

from monai_coat.metrics import SetSizeMetric, SetSizeQuantity

__all__ = ["SetSize"]


class SetSize(IgniteMetricHandler):
    """Handler of :class:`~monai_coat.metrics.SetSizeMetric`.

    Args:
        quantity: see the metric.
        cutoff: see the metric; 0.5 for masks.
        include_background: see the metric.
        reduction: see the metric.
        output_transform: takes ``(scores, labels)`` out of the engine's output.
        save_details: whether per-image values go to ``engine.state.metric_details``.
    """

    def __init__(
        self,
        quantity: SetSizeQuantity | str = SetSizeQuantity.RELATIVE,
        cutoff: float | Sequence[float] = 0.5,
        include_background: bool = True,
        reduction: MetricReduction | str = MetricReduction.MEAN,
        output_transform: Callable[..., Any] = lambda output: output,
        save_details: bool = True,
    ) -> None:
        metric = SetSizeMetric(quantity, cutoff, include_background, reduction)
        super().__init__(metric_fn=metric, output_transform=output_transform, save_details=save_details)
