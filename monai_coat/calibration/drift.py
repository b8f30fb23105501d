# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Does the promise still hold? A running test by betting on the miss of each new image."""

from __future__ import annotations

import math
from collections.abc import Iterable

from monai_coat.functional._checks import check_alpha

__all__ = ["DriftWatch"]

_STAKES = 16


class DriftWatch:
    r"""Evidence against a mean miss of at most alpha, valid whenever one looks.

    .. math:: W_t = \frac{1}{J} \sum_{j=1}^{J} \prod_{i=1}^{t} \big(1 + \lambda_j (x_i - \alpha)\big),
        \qquad \lambda_j = \frac{j}{J\alpha}

    with x_i in [0, 1] the false negative rate of image i, in the order of time. While every image's expected miss,
    given those before it, is at most alpha, W is the wealth of a gambler in a game that is not in his favour, so that

    .. math:: P(\exists\, t : W_t \ge 1 / \delta) \le \delta.

    A wealth of 100 is thus evidence at the level 0.01, after any number of looks. It grows when images are missed more
    than promised, be it that patients, scanners or annotators have changed. Stakes of all sizes are bet at once, so
    that small and large excesses are both found in time. Conformal risk control promises alpha on average over draws of
    the calibration images; the one draw in use may miss a little more, and after many images that is found as well.

    Args:
        alpha: mean miss that was promised, in (0, 1).
        misses: what was seen before, in order.

    Raises:
        ValueError: if alpha is no level or a miss is outside [0, 1].

    Example:
        >>> watch = DriftWatch(alpha=0.1)
        >>> for _ in range(20):
        ...     watch.update(0.5)
        >>> watch.evidence > 100, watch.n
        (True, 20)

    Source:
        Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting (JRSS B 2024), section 4;
        Ville's inequality.
    """

    def __init__(self, alpha: float, misses: Iterable[float] = ()) -> None:
        self.alpha = check_alpha(alpha)
        self._logs = [0.0] * _STAKES
        self.n = 0
        for miss in misses:
            self.update(miss)

    def update(self, miss: float) -> None:
        """Take the false negative rate of the next image; of an image without foreground (NaN) there is none."""
        if math.isnan(miss):
            return
        if not 0 <= miss <= 1:
            raise ValueError(f"miss must be a false negative rate in [0, 1], got {miss}.")
        self.n += 1
        for index in range(_STAKES):
            stake = (index + 1) / (_STAKES * self.alpha)
            factor = 1 + stake * (miss - self.alpha)
            self._logs[index] += math.log(factor) if factor > 1e-300 else -math.inf

    @property
    def evidence(self) -> float:
        """The wealth W now; 1 before the first image."""
        top = max(self._logs)
        if top == -math.inf:
            return 0.0
        total = sum(math.exp(each - top) for each in self._logs) / _STAKES
        return math.exp(min(top + math.log(total), 700.0))

    def against(self, level: float = 0.01) -> bool:
        """Whether the evidence has reached ``1 / level``."""
        return self.evidence >= 1 / check_alpha(level)
