# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Splits of a pool into calibration and test images, and what a method does on one of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_coat.comparison.data.repeats import Repeat
from monai_coat.comparison.data.sorted_scores import SortedScores
from monai_coat.comparison.data.streamed_scores import StreamedScores
from monai_coat.comparison.protocol import Protocol, digest_of
from monai_coat.data import split_by_group
from monai_coat.functional import measures_of_test_set
from monai_coat.scorers import FittedMethod

__all__ = ["draw_group_split", "draw_split", "measure_split"]


def draw_split(repeat: Repeat, protocol: Protocol, number: int) -> tuple[list[int], list[int]]:
    """Places of calibration and test images in the pool of a repeat, the same for all methods."""
    order = np.random.default_rng((protocol.seed, number)).permutation(len(repeat.pool))
    first = protocol.images_to_calibrate(len(order))
    return sorted(order[:first].tolist()), sorted(order[first:].tolist())


def draw_group_split(repeat: Repeat, protocol: Protocol, number: int) -> tuple[list[int], list[int]]:
    """:func:`draw_split` in whole groups: an even number's halves are those of the odd one after it, swapped."""
    groups = repeat.pool.groups
    if groups is None:
        raise ValueError("group_splits must be 0 where images have no groups, got a pool without; set it to 0.")
    samples = [{"id": f"{place:09d}", "group": group} for place, group in enumerate(groups)]
    halves = split_by_group(samples, 0.5, protocol.seed + number // 2)
    first, second = ([int(sample["id"]) for sample in half] for half in halves)
    return (second, first) if number % 2 else (first, second)


def measure_split(
    fitted: FittedMethod,
    scores: SortedScores | StreamedScores,
    repeat: Repeat,
    alpha: float,
    places: tuple[list[int], list[int]],
) -> tuple[dict[str, Any], list[float]]:
    """Calibrate a method on the calibration images of a split, and measure it on the test images.

    Args:
        fitted: the method.
        scores: its scores of the pool.
        repeat: has the pool.
        alpha: tolerated mean false negative rate.
        places: see :func:`draw_split`.

    Returns:
        Numbers of images, cutoff and measures of the test images by name; and the coverage of each test image.
    """
    calibration, test = places
    cutoff = None
    if fitted.rule is not None:
        pool: Any = repeat.pool  # in memory: of volumes there are scores only
        cutoffs = fitted.rule(pool, calibration, test).tolist()
    else:
        cutoff = scores.cutoff(calibration, alpha)
        cutoffs = [cutoff] * len(test)
    # Rows of a group can be subtracted from each other only if they are of the same images.
    names = digest_of([[repeat.pool.ids[i] for i in part] for part in places])
    sizes = {"hash": names, "n_calibration": len(calibration), "n_test": len(test), "cutoff": cutoff}
    rows = scores.measure(test, cutoffs)
    return sizes | _measures(rows, alpha), [round(float(coverage), 4) for coverage in rows[:, 0]]


def _measures(rows: NDArray[np.float64], alpha: float) -> dict[str, float]:
    """Means over test images of what :meth:`SortedScores.measure` says of each."""
    coverage, precision, relative_size, set_fraction = rows.T
    measures = measures_of_test_set(coverage, precision, relative_size, alpha)
    measures["set_fraction"] = float(set_fraction.mean())
    measures["share_whole"] = float((set_fraction >= 1).mean())
    return {name: round(value, 6) for name, value in measures.items()}
