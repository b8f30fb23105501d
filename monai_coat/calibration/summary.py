# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A calibration in one line, for logs and terminals."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.risks import risk_named

__all__ = ["printed_cutoffs", "printed_number", "summary_of"]


def printed_cutoffs(result: CalibrationResult, digits: int = 6) -> tuple[str, ...]:
    """Cutoffs as short decimals, rounded to the safe side: whoever types one keeps the promise.

    Of what is missed, a lower cutoff is safe; of false positives, a higher one.

    Args:
        result: a calibration.
        digits: significant digits, at most 15.

    Example:
        >>> result = CalibrationResult((0.003921568859368563,), 0.1, (99,), (1,), (0.0875,), "E[FNR] <= 0.1")
        >>> printed_cutoffs(result)
        ('0.00392156',)
    """
    return tuple(printed_number(cutoff, result.controls, digits) for cutoff in result.cutoff)


def printed_number(value: float, controls: str, digits: int = 6) -> str:
    """A cutoff or threshold as a short decimal, rounded as :func:`printed_cutoffs` does.

    Args:
        value: the number.
        controls: name of the risk.
        digits: significant digits, at most 15.
    """
    context = Context(prec=digits, rounding=ROUND_FLOOR if risk_named(controls).rises else ROUND_CEILING)
    # A float prints no "1E+1", and holds every decimal of so few digits.
    return f"{float(context.create_decimal(Decimal(value))):.{digits}g}"


def summary_of(result: CalibrationResult) -> str:
    """Cutoffs, numbers of images and the promise.

    Example:
        >>> summary_of(CalibrationResult((0.25,), 0.1, (99,), (1,), (0.0875,), "E[FNR] <= 0.1"))
        'cutoff 0.25: E[FNR] <= 0.1; n = 99, 1 left out'
    """
    shown = zip(printed_cutoffs(result), result.promised, strict=True)
    cutoffs, counts = ", ".join(text if kept else "none" for text, kept in shown), ", ".join(map(str, result.n))
    left_out = ", ".join(map(str, result.n_empty))
    return f"cutoff {cutoffs}: {result.guarantee}; n = {counts}, {left_out} left out"
