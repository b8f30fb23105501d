# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The levels that score maps can reach: below them a set is everything, and its promise is worth nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.risks import risk_named
from monai_coat.calibration.score_forms import ScoreForms
from monai_coat.calibration.statistics.base import Statistic

__all__ = ["OUT_OF_REACH", "smallest_useful_level", "with_reach"]

logger = logging.getLogger(__name__)

OUT_OF_REACH = "is below what these maps can reach"
"""In the words of a result whose set is everything."""

REMEDY = "look whether maps are inverted, and what is foreground in the masks (--mask-threshold), or raise alpha"
STEPS = 1000


class Promise(Protocol):
    """What is asked of a guarantee here; see :class:`~monai_coat.calibration.Guarantee`."""

    @property
    def class_names(self) -> Sequence[str]:
        """See :attr:`~monai_coat.calibration.Guarantee.class_names`."""

    def useful_levels(self, statistic: Statistic, floors: Sequence[float]) -> tuple[float | None, ...]:
        """See :meth:`~monai_coat.calibration.Guarantee.useful_levels`."""


def smallest_useful_level(cutoff_at: Callable[[float], float], floor: float) -> float | None:
    r"""The smallest level whose cutoff is above a floor, such as the lowest score of all calibration maps.

    .. math:: \alpha^* = \min\{\alpha \in \{0.001, 0.002, \dots, 0.999\} : \hat c(\alpha) > f\}

    At smaller levels :math:`\hat c(\alpha) \le f`: the set is everything, or goes on where the maps say nothing more.
    The promise of a larger level has a cutoff at least as high, so that ten calibrations find it. Of
    :class:`~monai_coat.calibration.ExpectedRisk` of a share of n images it is, before it is rounded up to thousandths,

    .. math:: \frac{1}{n + 1}\Big(1 + \sum_{i=1}^{n} L_i(f^+)\Big), \qquad L_i(f^+) = \text{share of the critical
        scores of image i that are} \le f.

    Args:
        cutoff_at: the cutoff of a level, which does not fall as the level rises; a ValueError says that there is none.
        floor: f, which a useful cutoff is above.

    Returns:
        The level; None if none is useful, or the statistic is of one level alone.

    Example:
        Of three images the foreground of one lies at the lowest score, 0; (1 + 1) / (3 + 1) is the smallest level.

        >>> import torch
        >>> from monai_coat.calibration import CoverageStatistic, calibrate
        >>> statistic = CoverageStatistic()
        >>> statistic.update(torch.tensor([[[0.0, 0.0]], [[0.4, 0.9]], [[0.6, 0.7]]]), torch.ones(3, 1, 2))
        >>> smallest_useful_level(lambda alpha: calibrate(statistic, alpha).cutoff[0], floor=0.0)
        0.5
    """
    if not _is_above(cutoff_at, STEPS - 1, floor):
        return None
    low, high = 0, STEPS - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _is_above(cutoff_at, middle, floor) else (middle, high)
    return high / STEPS


def _is_above(cutoff_at: Callable[[float], float], step: int, floor: float) -> bool:
    try:
        return cutoff_at(step / STEPS) > floor
    except ValueError:
        return False


def with_reach(
    result: CalibrationResult,
    guarantee: Promise,
    statistic: Statistic,
    forms: ScoreForms,
    saturated: float | None = None,
    log: bool = True,
) -> CalibrationResult:
    """Add to the words of a result, and say in the log, if its level is below what the maps can reach.

    That is where a cutoff is at most the lowest score of all calibration maps, so that the set is everything. The
    promise is kept, and worth nothing. Where scores break ties by place, it is also where a cutoff is among the scores
    of saturated probabilities: the set then takes pixels that the map says nothing about.

    Args:
        result: what the guarantee made of the statistic.
        guarantee: what is promised.
        statistic: of the calibration images.
        forms: what was seen of their scores.
        saturated: highest score of a pixel that place alone orders; None if none is.
        log: whether to say it in the log.

    Returns:
        The result, with a remark in ``guarantee`` for each such class: the level, in how many of the images the set is
        everything, and the :func:`smallest_useful_level`.
    """
    if not risk_named(result.controls).rises:
        return result
    floors = [low if saturated is None else max(low, saturated) for low in forms.lowest]
    rows = zip(result.cutoff, result.promised, floors, strict=False)
    below = [index for index, (cutoff, kept, floor) in enumerate(rows) if kept and cutoff <= floor]
    if not below:
        return result
    levels = guarantee.useful_levels(statistic, floors)
    remarks = [_remark(result, index, forms, levels[index], _called(guarantee, index)) for index in below]
    if log:
        logger.warning("%s; %s.", "; ".join(remarks), REMEDY)
    return replace(result, guarantee="; ".join([result.guarantee, *remarks]))


def _remark(result: CalibrationResult, index: int, forms: ScoreForms, level: float | None, name: str) -> str:
    """What is to be said of one class."""
    of_class = f" of {name}" if len(result.cutoff) > 1 else ""
    cutoff, lows = result.cutoff[index], forms.lows(index)
    count = f"{sum(low >= cutoff for low in lows)} of {len(lows)} images"
    taken = f"the prediction set is everything in {count}"
    if cutoff > min(lows):
        taken = f"the prediction set takes pixels of probability 0, the nearest first, and is everything in {count}"
    useful = "" if level is None else f", and the smallest useful level is {level:g}"
    return f"alpha {float(result.alpha):g} {OUT_OF_REACH}{of_class}: {taken}{useful}"


def _called(guarantee: Promise, index: int) -> str:
    return repr(guarantee.class_names[index]) if guarantee.class_names else f"class {index}"
