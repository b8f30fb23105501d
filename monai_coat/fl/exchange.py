# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What travels between sites and server: the very bytes of the files, in MONAI's exchange objects.

So whatever is checked of a file is checked of a message. Bytes also pass every engine as they are, where arrays may be
taken for weights.

Tested by tests/fl/test_server.py.
"""

from __future__ import annotations

from typing import Any

from monai.fl.utils.exchange_object import ExchangeObject

from monai_coat.calibration import (
    BinnedStatistic,
    CalibrationResult,
    CollectedStatistic,
    pack_calibration,
    pack_statistic,
    unpack_calibration,
    unpack_statistic,
)

__all__ = ["CALIBRATION", "STATISTIC", "calibration_in", "statistic_in", "with_calibration", "with_statistic"]

STATISTIC = "calibration_statistic"
"""Name of a site's statistic in an exchange object's ``statistics``."""

CALIBRATION = "calibration"
"""Name of the server's calibration there."""


def with_statistic(collected: CollectedStatistic, smallest: int) -> ExchangeObject:
    """A site's statistic, to be sent.

    Raises:
        TypeError: if the statistic holds scores of single images, which must not leave a site.
        ValueError: if it holds fewer images of a class than ``smallest``.
    """
    if not isinstance(collected.statistic, BinnedStatistic):
        raise TypeError(
            f"statistic must be a BinnedStatistic to leave its site, got {type(collected.statistic).__name__}, which "
            "holds scores of single images; collect a BinnedStatistic."
        )
    return ExchangeObject(statistics={STATISTIC: pack_statistic(collected, smallest)})


def statistic_in(data: ExchangeObject, site: str) -> CollectedStatistic:
    """The statistic that a site sent.

    Raises:
        TypeError: if there is none.
        ValueError: if it is damaged or contradicts itself.
    """
    return unpack_statistic(_entry(data, STATISTIC), site)


def with_calibration(result: CalibrationResult) -> ExchangeObject:
    """A calibration, to be sent to all sites."""
    return ExchangeObject(statistics={CALIBRATION: pack_calibration(result)})


def calibration_in(data: ExchangeObject, sender: str = "the server") -> CalibrationResult:
    """The calibration that the server sent.

    Raises:
        TypeError: if there is none.
        ValueError: if it is damaged or contradicts itself.
    """
    return unpack_calibration(_entry(data, CALIBRATION), sender)


def _entry(data: ExchangeObject, name: str) -> Any:
    return (getattr(data, "statistics", None) or {}).get(name)
