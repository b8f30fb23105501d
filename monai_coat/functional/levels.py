# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The level alpha, read exactly: the misses it tolerates, the coverage it targets, the images it needs."""

from __future__ import annotations

import math
from fractions import Fraction
from numbers import Real

from monai_coat.functional.checks import check_alpha

__all__ = ["allowed_misses", "exact_level", "exact_share", "images_needed", "target_coverage"]


def exact_level(alpha: float) -> Fraction:
    """The level as the decimal that it prints as, so that 0.3 means 3/10 although the double is below it.

    Args:
        alpha: tolerated mean false negative rate, a fraction in (0, 1).

    Returns:
        The level as a rational number.

    Raises:
        ValueError: if ``alpha`` is outside (0, 1).

    Example:
        >>> exact_level(0.3)
        Fraction(3, 10)
    """
    return Fraction(repr(check_alpha(alpha)))


def exact_share(share: float, name: str = "share") -> Fraction:
    """A share in [0, 1] as the decimal that it prints as; unlike a level it may be 0 or 1.

    Args:
        share: the number.
        name: what messages call it.

    Returns:
        The share as a rational number.

    Raises:
        TypeError: if ``share`` is no number.
        ValueError: if it is outside [0, 1].

    Example:
        >>> exact_share(0.2), exact_share(0)
        (Fraction(1, 5), Fraction(0, 1))
    """
    if isinstance(share, bool) or not isinstance(share, Real):
        raise TypeError(f"{name} must be a number in [0, 1], got {type(share).__name__}; give 0.1 for 10 %.")
    if not 0.0 <= float(share) <= 1.0:
        raise ValueError(f"{name} must be in [0, 1], got {float(share)}; give 0.1 for 10 %.")
    return Fraction(repr(float(share)))


def target_coverage(alpha: float) -> float:
    """The coverage asked for, ``1 - alpha``, rounded once.

    Example:
        >>> target_coverage(0.9)
        0.1
    """
    return float(1 - exact_level(alpha))


def allowed_misses(alpha: float, count: int) -> int:
    r"""How many of ``count`` foreground pixels may be missed, :math:`\lfloor \alpha\,m \rfloor` without rounding error.

    Example:
        >>> allowed_misses(0.3, 10)
        3
    """
    return math.floor(exact_level(alpha) * count)


def images_needed(alpha: float) -> int:
    r"""The fewest calibration images for which ``alpha`` can be promised, least n with :math:`\alpha (n + 1) \ge 1`.

    Example:
        >>> images_needed(0.1), images_needed(0.01)
        (9, 99)
    """
    return math.ceil(1 / exact_level(alpha) - 1)
