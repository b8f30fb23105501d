# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the server does: it merges what the sites sent, and calibrates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from monai.fl.utils.exchange_object import ExchangeObject

from monai_coat.calibration import CalibrationResult, Guarantee, as_guarantee, merge_sites
from monai_coat.fl.exchange import statistic_in

__all__ = ["calibrate_sites"]


def calibrate_sites(
    sites: Mapping[str, ExchangeObject],
    alpha: float | None = None,
    guarantee: Guarantee | None = None,
    smallest: int = 10,
) -> CalibrationResult:
    """One calibration for all sites, equal to the bit to that of their images at one place.

    Args:
        sites: what :meth:`~monai_coat.fl.CalibrationStats.get_data_stats` gave at each site, by the site's name.
        alpha: tolerated mean false negative rate, short for ``ExpectedRisk(FalseNegativeRate(), alpha)``.
        guarantee: what is promised, in place of ``alpha``.
        smallest: fewest images of a class that each site must have sent, whatever the site allowed.

    Returns:
        The calibration, which belongs to the pipeline that all sites have.

    Raises:
        TypeError: if a site sent no statistic, or one of another risk.
        ValueError: if what a site sent is damaged; if two sites have an image in common, another network, pipeline,
            method or grid; if one sent fewer images than ``smallest``; or if all together are too few for the level.

    Example:
        >>> import torch
        >>> from monai_coat.calibration import BinnedStatistic, CollectedStatistic
        >>> from monai_coat.fl.exchange import with_statistic
        >>> def site():
        ...     collected = CollectedStatistic(BinnedStatistic(0.0, 1.0))
        ...     collected.update(torch.rand(12, 1, 8, 8), torch.ones(12, 1, 8, 8))
        ...     return with_statistic(collected, smallest=10)
        >>> calibrate_sites({"north": site(), "south": site()}, alpha=0.1).n
        (24,)
    """
    promised = as_guarantee(guarantee, alpha)
    merged = merge_sites({name: statistic_in(data, name) for name, data in sites.items()}, smallest)
    return replace(promised.calibrate(merged.statistic), method=merged.method, identity=merged.identity)
