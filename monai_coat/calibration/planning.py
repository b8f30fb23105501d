# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Plans: how many calibration images a promise needs, and how far one calibration will scatter."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from monai_coat.calibration.guarantees.base import MeanGuarantee, images_for
from monai_coat.calibration.pilot import Pilot, pilots_of
from monai_coat.calibration.scatter import BAND, Scatter, chance_of_at_most, scatter, tolerated_sum
from monai_coat.calibration.statistics.base import Statistic
from monai_coat.functional import exact_level

__all__ = ["PilotPlan", "Plan", "images_needed_for", "plan_calibration", "size_wanted"]

SIZES = (20, 50, 100, 200, 500, 1000)
_MOST = 2**20  # images; nobody labels more


@dataclass(frozen=True)
class PilotPlan:
    """What a pilot says of one class.

    Attributes:
        name: of the class; empty if there is one only.
        images: images of the pilot that have it.
        rows: a scatter for each number of calibration images.
        wanted: images from which on the risk is as close to alpha as is wanted, if that was asked.
    """

    name: str
    images: int
    rows: tuple[Scatter, ...]
    wanted: int | None = None


@dataclass(frozen=True)
class Plan:
    """How many calibration images a promise needs, and how far one calibration scatters.

    Attributes:
        guarantee: what is to be promised.
        least: the fewest images with which it can be.
        rows: a scatter for each number of images, if each risk is all or nothing.
        within: how far above alpha the risk of new images may be in 95 of 100 calibrations, if that was asked.
        wanted: images from which on it is not farther, if each risk is all or nothing.
        pilots: what a pilot says, class by class; a class with too few images of it is left out.
    """

    guarantee: MeanGuarantee
    least: int
    rows: tuple[Scatter, ...]
    within: float | None = None
    wanted: int | None = None
    pilots: tuple[PilotPlan, ...] = ()

    @property
    def words(self) -> str:
        """The plan in one sentence; bounds are rounded outwards."""
        row = _example(self.rows)
        parts = [
            f"{self.guarantee.promise} needs at least {self.least} calibration {self.guarantee.units}; after one "
            f"calibration on {row.n}, the mean over all new images of a risk that is all or nothing is between "
            f"{_spread(row)}"
        ]
        parts += [
            f"in the pilot ({pilot.images} images{_of(pilot)}) it is between {_spread(_example(pilot.rows))}"
            for pilot in self.pilots
        ]
        if self.wanted is not None:
            limit = f"{float(exact_level(self.guarantee.alpha) + exact_level(self.within or 0)):g}"
            counts = "".join(f", {each.wanted} in the pilot{_of(each)}" for each in self.pilots)
            parts.append(f"at most {limit} in 95 of 100 takes {self.wanted} images or more{counts}")
        if self.pilots:
            parts.append("the pilot must be of images like those to come, none of which the network was trained on")
        return "; ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON has."""
        return {
            "promise": self.guarantee.promise,
            "guarantee": self.guarantee.name,
            "risk": self.guarantee.risk.key,
            "alpha": float(self.guarantee.alpha),
            "words": self.words,
            "least": self.least,
            "within": self.within,
            "wanted": self.wanted,
            "all_or_nothing": [asdict(row) for row in self.rows],
            "pilot": [asdict(pilot) for pilot in self.pilots],
        }


def images_needed_for(guarantee: MeanGuarantee) -> int:
    """The fewest calibration images that count for which a guarantee promises anything: least n, ``budget(n) >= 0``.

    Example:
        >>> from monai_coat.calibration import ExpectedRisk
        >>> images_needed_for(ExpectedRisk(alpha=0.1))
        9
    """
    return images_for(guarantee.budget)


def size_wanted(guarantee: MeanGuarantee, within: float, pilot: Pilot | None = None) -> int:
    r"""The number n of calibration images from which on a calibration ends, in 95 of 100 draws, close to alpha.

    The 95 % quantile q of the mean risk of new images is then at most alpha + ``within``, for n and all larger numbers.
    For all-or-nothing risks q is a quantile of Beta(k + 1, n - k), see :func:`~monai_coat.calibration.scatter.scatter`.
    It falls with n while k losses are tolerated, and jumps up where it becomes k + 1. So the numbers at which it jumps
    are searched by bisection, those that follow are looked at for a later failure (k grows unevenly where 1 / alpha is
    no whole number), and n is found before the first jump that stays below.

    With a pilot q is simulated. Few images make the calibration cautious, where risks are graded, so that q is low for
    few, too, and highest in between. n is searched from above, and found to about one part in 50.

    Args:
        guarantee: what is to be promised.
        within: tolerated excess, above 0 and such that alpha + within is below 1; read as a decimal.
        pilot: images like those to come; None for risks that are all or nothing.

    Raises:
        ValueError: if ``within`` is out of range, or more than a million images would be needed.

    Example:
        At alpha 0.5 and 0.4 more: one image has q = 0.95, two have 1 - (1 - q)^2 = 0.95, that is q = 0.776.

        >>> from monai_coat.calibration import ExpectedRisk
        >>> size_wanted(ExpectedRisk(alpha=0.5), within=0.4), round(1 - 0.05**0.5, 3)
        (2, 0.776)
    """
    limit, least = _limit(guarantee, within), images_needed_for(guarantee)

    def stays(n: int) -> bool:
        return chance_of_at_most(guarantee, n, limit) >= BAND[-1]

    @cache
    def jump(k: int) -> int:
        return images_for(lambda n: guarantee.budget(n) - k)

    k = _first(lambda k: stays(jump(k)), 0)
    while later := [each for each in _unsure(k, jump(k), float(guarantee.alpha)) if not stays(jump(each))]:
        k = later[-1] + 1
    wanted = _first(stays, jump(k - 1), jump(k)) if k else least
    return wanted if pilot is None else _from_above(lambda n: pilot.scatter(guarantee, n).high <= limit, least, wanted)


def plan_calibration(
    guarantee: MeanGuarantee,
    sizes: Sequence[int] = (),
    within: float | None = None,
    statistic: Statistic | None = None,
) -> Plan:
    """Plan a calibration before any image is labelled, or after a few are, the pilot.

    Args:
        guarantee: what is to be promised.
        sizes: numbers of calibration images to look at; none for the least, and those of 20, 50, ... 1000 above it.
        within: how far above alpha the risk of new images may be in 95 of 100 calibrations; None not to ask.
        statistic: of the pilot's images, made by ``guarantee.statistic()``: images like those to come, none of which
            the network was trained on. None if there is no pilot.

    Raises:
        TypeError: if the statistic does not keep the scores of each image, or is of another risk.
        ValueError: if a size is too small for the guarantee, ``within`` is out of range, or the pilot too small.

    Example:
        >>> from monai_coat.calibration import ExpectedRisk
        >>> plan = plan_calibration(ExpectedRisk(alpha=0.1), within=0.02)
        >>> plan.least, [row.n for row in plan.rows], plan.wanted
        (9, [9, 20, 50, 100, 200, 500, 1000], 650)
    """
    least = images_needed_for(guarantee)
    sizes = sorted(set(sizes)) or _usual_sizes(least)
    for size in sizes:
        tolerated_sum(guarantee, size)
    wanted = None if within is None else size_wanted(guarantee, within)
    rows = tuple(scatter(guarantee, size) for size in sizes)
    pilots = () if statistic is None else _pilot_plans(guarantee, statistic, sizes, within)
    return Plan(guarantee, least, rows, within, wanted, pilots)


def _pilot_plans(
    guarantee: MeanGuarantee, statistic: Statistic, sizes: Sequence[int], within: float | None
) -> tuple[PilotPlan, ...]:
    if statistic.measures != guarantee.risk.key:
        raise TypeError(
            f"statistic must be one of the risk {guarantee.risk.key!r}, got one of {statistic.measures!r}; use "
            "guarantee.statistic()."
        )
    pilots = pilots_of(statistic)
    names = [""] if len(pilots) == 1 else guarantee.class_names or [f"class {index}" for index in range(len(pilots))]
    return tuple(
        PilotPlan(
            name,
            len(pilot),
            tuple(pilot.scatter(guarantee, size) for size in sizes),
            None if within is None else size_wanted(guarantee, within, pilot),
        )
        for name, pilot in zip(names, pilots, strict=True)
        if pilot is not None
    )


def _usual_sizes(least: int) -> list[int]:
    above = [size for size in SIZES if size > least]
    return [least, *above] if len(above) > 1 else [least, 2 * least, 5 * least, 10 * least]


def _limit(guarantee: MeanGuarantee, within: float) -> float:
    """Alpha and what is tolerated above it, as the decimals that they print as."""
    alpha = exact_level(guarantee.alpha)
    if not 0 < within < 1 - alpha:
        raise ValueError(
            f"within must be above 0 and below 1 - alpha, {float(1 - alpha):g}, got {within}; 0.02 is two points."
        )
    return float(alpha + exact_level(within))


def _unsure(k: int, n: int, alpha: float) -> range:
    r"""Jumps from the one to k, at n, that may still fail.

    The budget of an expected risk is rounded down by less than 1, which lowers the mean risk by less than 1 / n; about
    :math:`\alpha^{1.5} (1 - \alpha)^{-0.5} \sqrt{n}` more jumps lower the quantile by as much. Four times as many are
    looked at.
    """
    return range(k, k + 64 + int(4 * alpha * math.sqrt(alpha / (1 - alpha) * n)))


def _first(is_enough: Callable[[int], bool], low: int, high: int | None = None, steps: int = 0) -> int:
    """The first number from ``low`` on that is enough, by doubling and bisection.

    Args:
        is_enough: false up to some number, and true from it on.
        low: where to begin.
        high: a number that is enough, if one is known.
        steps: end where the answer is known to one part in so many; 0 for exactly.
    """
    if is_enough(low):
        return low
    while high is None:
        tried = 2 * low + 1
        if tried > _MOST:
            raise ValueError(f"within must take at most {_MOST} images to reach, got one that takes more; raise it.")
        low, high = (low, tried) if is_enough(tried) else (tried, None)
    while high - low > max(1, high // steps if steps else 1):
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _from_above(is_enough: Callable[[int], bool], least: int, start: int) -> int:
    """The number from which on all are enough, to one part in 50, if those far above ``start`` are."""
    high = _first(is_enough, start, steps=1)
    while high > least:
        lower = max(least, 3 * high // 4)
        if not is_enough(lower):
            return _first(is_enough, lower, high, steps=50)
        high = lower
    return least


def _example(rows: Sequence[Scatter]) -> Scatter:
    """The row that the words speak of: of 50 images, or the next."""
    return next((row for row in rows if row.n >= 50), rows[-1])


def _spread(row: Scatter) -> str:
    low, high = math.floor(row.low * 1000) / 1000, math.ceil(row.high * 1000) / 1000
    return f"{low:g} and {high:g} in 90 of 100, and above alpha in {math.ceil(100 * row.above)} of 100"


def _of(pilot: PilotPlan) -> str:
    return f" of {pilot.name}" if pilot.name else ""
