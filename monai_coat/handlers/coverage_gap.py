# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Coverage gap in an engine's metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monai.handlers import IgniteMetricHandler
from monai.utils import MetricReduction

from monai_coat.metrics import CoverageGapMetric

__all__ = ["CoverageGap"]


class CoverageGap(IgniteMetricHandler):
    """Handler of :class:`~monai_coat.metrics.CoverageGapMetric`; smaller is better.

    As a key metric it needs ``key_metric_negative_sign=True`` of ``CheckpointSaver``, which takes larger for better.

    Args:
        alpha: see the metric.
        cutoff: see the metric; 0.5 for masks, 0 for margins.
        include_background: see the metric.
        reduction: see the metric.
        output_transform: takes ``(scores, labels)`` out of the engine's output.
        save_details: whether per-image values go to ``engine.state.metric_details``.
    """

    def __init__(
        self,
        alpha: float,
        cutoff: float | Sequence[float] = 0.5,
        include_background: bool = True,
        reduction: MetricReduction | str = MetricReduction.MEAN,
        output_transform: Callable[..., Any] = lambda output: output,
        save_details: bool = True,
    ) -> None:
        metric = CoverageGapMetric(alpha, cutoff, include_background, reduction)
        super().__init__(metric_fn=metric, output_transform=output_transform, save_details=save_details)
