# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a calibration found: a frozen value with the cutoff and everything the promise rests on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["CalibrationResult", "ConformalRisk"]


class ConformalRisk(str, Enum):
    """What is at most ``alpha`` on average over new images.

    ``miss`` is the false negative rate of each class, see :func:`~monai_coat.calibration.calibrate`; ``worst_miss``
    that of the worst class in the image, see :func:`~monai_coat.calibration.calibrate_worst_class`; ``false_alarm``
    what the set holds beside the foreground, in sizes of the foreground, see
    :func:`~monai_coat.calibration.calibrate_false_alarm`.
    """

    MISS = "miss"
    WORST_MISS = "worst_miss"
    FALSE_ALARM = "false_alarm"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class CalibrationResult:
    """One cutoff per class and what is promised with it.

    The prediction set of a new image is ``{score >= cutoff}``. In the notation of COAT, whose scores are margins
    ``p - threshold``, the cutoff is minus the shift of all thresholds.

    Attributes:
        cutoff: cutoff per class, in the unit of the scores; each is exactly a float32.
        alpha: tolerated mean false negative rate, in (0, 1).
        n: calibration images with foreground, per class.
        n_empty: images left out because the class is absent from them, per class.
        risk: mean risk of the n images at the cutoff, per class, usually the false negative rate; at most
            ``alpha - (1 - alpha) / n``.
        guarantee: the promise in words.
        method: name of the scorer that made the scores, such as "coat"; empty if not said.
        network: fingerprint of the network that made the scores; empty if not said.
        controls: the risk whose mean is at most alpha, one of :class:`~monai_coat.calibration.ConformalRisk`; ``risk``
            is its mean on the n images.
    """

    cutoff: tuple[float, ...]
    alpha: float
    n: tuple[int, ...]
    n_empty: tuple[int, ...]
    risk: tuple[float, ...]
    guarantee: str
    method: str = ""
    network: str = ""
    controls: str = ConformalRisk.MISS.value

    @property
    def shift(self) -> tuple[float, ...]:
        """COAT's t', minus the cutoff: subtracted from all thresholds of a margin scorer; positive = larger masks."""
        return tuple(-cutoff for cutoff in self.cutoff)
