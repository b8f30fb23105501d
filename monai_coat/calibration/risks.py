# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The risks that can be controlled: what is missed, what the worst class misses, what is falsely included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from monai_coat.calibration.binned import BinnedStatistic, calibrate_binned
from monai_coat.calibration.control import calibrate
from monai_coat.calibration.result import CalibrationResult, ConformalRisk
from monai_coat.calibration.statistics import CoverageStatistic
from monai_coat.calibration.worst_class import calibrate_worst_class
from monai_coat.functional import highest_background

__all__ = ["FalseAlarmStatistic", "calibrate_false_alarm", "calibrate_risk", "statistic_of_risk"]


class FalseAlarmStatistic(CoverageStatistic):
    """Background scores of the calibration images: in each, as many as it has foreground, the highest.

    It has all of :class:`~monai_coat.calibration.CoverageStatistic`, and is read by :func:`calibrate_false_alarm`.

    Example:
        >>> import torch
        >>> statistic = FalseAlarmStatistic()
        >>> statistic.update(torch.tensor([[[0.1, 0.9, 0.4, 0.6]]]), torch.tensor([[[0, 1, 0, 0]]]))
        >>> statistic.n
        (1,)
    """

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add a batch of images; arguments and errors as in the other statistic."""
        marked = highest_background(scores, labels)
        super().update(-scores, marked)


def calibrate_false_alarm(statistic: FalseAlarmStatistic, alpha: float) -> CalibrationResult:
    r"""Find the smallest cutoff that keeps the mean false alarm of a new image at ``alpha``, for each class.

    .. math:: \hat c = \inf\Big\{c : \sum_{i=1}^{n} \min\Big(1, \frac{|\{j \notin Y_i : s_{ij} \ge c\}|}{|Y_i|}\Big) + 1
        \le \alpha\,(n + 1)\Big\}.

    The set :math:`\{s \ge \hat c\}` is what can be called certain: for an exchangeable new image with foreground, the
    part of it that is wrong is on average at most a share alpha of the foreground's size. It is conformal risk control
    on negative scores, exact with ties, and independent of the promise about what is missed.

    Args:
        statistic: background scores of the calibration images.
        alpha: tolerated mean false alarm, in sizes of the foreground, in (0, 1).

    Raises:
        ValueError: as :func:`~monai_coat.calibration.calibrate`.

    Example:
        >>> import torch
        >>> statistic = FalseAlarmStatistic()
        >>> scores = torch.tensor([[[0.9, 0.1]], [[0.8, 0.3]], [[0.7, 0.5]]])
        >>> statistic.update(scores, torch.tensor([[[1, 0]]] * 3))
        >>> result = calibrate_false_alarm(statistic, alpha=0.5)  # one of three images may be wrong
        >>> [scores[i, 0] >= result.cutoff[0] for i in range(3)]
        [tensor([ True, False]), tensor([ True, False]), tensor([True, True])]

    Source:
        Angelopoulos et al., Conformal Risk Control (ICLR 2024), equation 4 with this risk.
    """
    result = calibrate(statistic, alpha)
    # Missed of the negatives is -s < c, wrongly included s > -c: the smallest float32 above takes no tie in.
    cutoff = tuple(float(np.nextafter(np.float32(-c), np.float32(np.inf))) for c in result.cutoff)
    promise = f"E[false alarm / foreground] <= {float(alpha)}"
    guarantee = f"{promise} on average over new images with foreground, exchangeable with the n used"
    return replace(result, cutoff=cutoff, guarantee=guarantee, controls=ConformalRisk.FALSE_ALARM.value)


def statistic_of_risk(risk: ConformalRisk | str) -> CoverageStatistic:
    """An empty statistic that the risk can be calibrated from.

    Raises:
        ValueError: if the risk is unknown.
    """
    return FalseAlarmStatistic() if _known(risk) == ConformalRisk.FALSE_ALARM else CoverageStatistic()


def calibrate_risk(
    statistic: CoverageStatistic | BinnedStatistic, alpha: float, risk: ConformalRisk | str
) -> CalibrationResult:
    """Calibrate a statistic of :func:`statistic_of_risk`, or a binned one of misses.

    Raises:
        TypeError: if the statistic is of another risk.
        ValueError: if the risk is unknown; and as the calibration of each risk.

    Example:
        >>> import torch
        >>> statistic = statistic_of_risk("miss")
        >>> statistic.update(torch.rand(9, 1, 4, 4), torch.ones(9, 1, 4, 4))
        >>> calibrate_risk(statistic, alpha=0.1, risk="miss").n
        (9,)
    """
    risk = _known(risk)
    if isinstance(statistic, BinnedStatistic) and risk == ConformalRisk.MISS:
        return calibrate_binned(statistic, alpha)
    of_false_alarms = isinstance(statistic, FalseAlarmStatistic)
    if isinstance(statistic, BinnedStatistic) or of_false_alarms != (risk == ConformalRisk.FALSE_ALARM):
        raise TypeError(
            f"statistic must be one of the risk {risk.value!r}, got {type(statistic).__name__}; use statistic_of_risk."
        )
    if isinstance(statistic, FalseAlarmStatistic):
        return calibrate_false_alarm(statistic, alpha)
    return calibrate_worst_class(statistic, alpha) if risk == ConformalRisk.WORST_MISS else calibrate(statistic, alpha)


def _known(risk: ConformalRisk | str) -> ConformalRisk:
    if risk not in [each.value for each in ConformalRisk]:
        raise ValueError(f"risk must be one of {', '.join(map(str, ConformalRisk))}, got {risk!r}.")
    return ConformalRisk(risk)
