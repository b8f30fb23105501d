# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sizes of single objects read out of the sums of a statistic file, with nothing but the file.

An image with m foreground pixels, b of which lie below a cutoff, adds ceil(u b / m) to the sum there, u the unit. Where
one pixel of one image lies between two cutoffs, the sum jumps by u / m, rounded; that gives m away.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

Sums = NDArray[np.int64]
LONGEST = 64
CHANCE = 1e-4


def sizes_from_jumps(sums: Sums, unit: int, count: int) -> list[int]:
    """The sizes that explain most jumps of the sums as one pixel of one image, the likeliest first.

    The same size explains many jumps if it is an image's, since its pixels come one by one where scores are rare.
    """
    jumps = np.diff(sums)
    explained = Counter(round(unit / int(jump)) for jump in jumps[jumps > 0])
    return [size for size, _ in explained.most_common() if size > 1][:count]


def size_from_values(values: Sums, unit: int) -> int | None:
    """The size of a lone image whose rounded rates are known, or None if they do not say.

    Rates of m pixels take m + 1 values only. While m is below the unit, each further value is one of these by chance
    with a probability of m / unit; the smallest size that all values fit is taken, if that is no chance.
    """
    seen = np.unique(values[(values > 0) & (values < unit)])[:LONGEST]
    if not seen.size:
        return None
    sizes = np.arange(2, min(unit, 2**18) + 1, dtype=np.int64)
    for value in seen.tolist():
        # The count that would give this value is the largest whole number b with u b / m <= value.
        below = value * sizes // unit
        sizes = sizes[-(-(below * unit) // sizes) == value]
    if not sizes.size:
        return None
    chance = sizes[0] * (sizes[0] / unit) ** seen.size
    return int(sizes[0]) if chance < CHANCE else None


def size_from_difference(more: Sums, fewer: Sums, unit: int) -> int | None:
    """The size of the one image that is in the first file and not in the second.

    Of how many parts its rate is, the values tell themselves: they are multiples of one part.
    """
    values = more - fewer
    part = int(np.gcd.reduce(values, initial=unit))
    return size_from_values(values // part, unit // part)


def sizes_from_ends(sums: Sums, unit: int, count: int) -> list[int]:
    """Sizes of the first image to lose pixels and of the last to keep some, while they are alone in doing so.

    At the upper end it is the complement that is known, floor(u a / m) with a pixels above. How long an image is alone
    is not known; the longest beginning of the values that some size explains beyond chance is taken.
    """
    rising = np.unique(sums[sums > 0])
    falling = np.unique(count * unit - sums[sums < count * unit])
    guesses = [_from_beginning(rising, unit), _from_beginning(falling, unit, complement=True)]
    return [guess for guess in guesses if guess is not None]


def _from_beginning(values: Sums, unit: int, complement: bool = False) -> int | None:
    """The size that explains the longest beginning of ascending values, weighed by how little that is chance."""
    values = values[(values > 0) & (values < unit)][:LONGEST]
    sizes = np.arange(2, min(unit, 2**18) + 1, dtype=np.int64)
    fits = np.ones(sizes.size, bool)
    lengths = np.zeros(sizes.size, np.int64)
    for value in values.tolist():
        if complement:
            pixels = -(-(value * sizes) // unit)
            fits &= pixels * unit // sizes == value
        else:
            pixels = value * sizes // unit
            fits &= -(-(pixels * unit) // sizes) == value
        if not fits.any():
            break
        lengths += fits
    surprise = np.log(sizes) + lengths * np.log(sizes / unit)
    best = int(surprise.argmin())
    return int(sizes[best]) if lengths[best] and surprise[best] < np.log(CHANCE) else None
