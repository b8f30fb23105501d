# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The test of exchangeability: whether two sets of images look like draws from one population."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_coat.functional.checks import check_count

__all__ = ["MOST_IMAGES", "exchangeability_p_value"]

MOST_IMAGES = 1000
"""Images of each set that are compared; of more, a seeded draw is."""


def exchangeability_p_value(first: ArrayLike, second: ArrayLike, permutations: int = 999, seed: int = 0) -> float:
    r"""P-value of the hypothesis that the images of two sets are exchangeable, by permutation of their features.

    Each feature is divided by its spread over both sets. The sets are told apart by their energy distance, with X, X'
    from the first and Y, Y' from the second,

    .. math:: T = 2\,E|X - Y| - E|X - X'| - E|Y - Y'|, \qquad p = \frac{1 + |\{k : T_k \ge T\}|}{1 + N},

    where :math:`T_k` is that of a random division into sets of the same sizes. If the images are exchangeable,
    :math:`P(p \le u) \le u` for every u, whatever the features are. Images that depend on each other, such as frames of
    one video, are not.

    Args:
        first: features of one set, ``(n, F)``, finite.
        second: features of the other, ``(m, F)``.
        permutations: N, at least 1.
        seed: of the permutations, and of the draw of :data:`MOST_IMAGES` of a larger set.

    Returns:
        A number in [1 / (1 + N), 1].

    Raises:
        ValueError: if a set is empty, features are not finite or not the same in number, or N is below 1.

    Example:
        >>> import numpy as np
        >>> low, high = np.arange(20)[:, None], np.arange(20)[:, None] + 15
        >>> exchangeability_p_value(low, high), exchangeability_p_value(low, low)
        (0.001, 1.0)

    Source:
        Székely and Rizzo, Testing for equal distributions in high dimension (InterStat 2004); Phipson and Smyth,
        Permutation p-values should never be zero (SAGMB 2010).
    """
    rng, count = np.random.default_rng(seed), check_count(permutations, "permutations")
    sets = [_drawn(_checked(values, name), rng) for values, name in ((first, "first"), (second, "second"))]
    if sets[0].shape[1] != sets[1].shape[1]:
        raise ValueError(
            f"first and second must have the same features, got {sets[0].shape[1]} and {sets[1].shape[1]} columns."
        )
    pooled = np.concatenate(sets)
    spread = pooled.std(0)
    # What does not vary is divided by 1, not by rounding.
    pooled = (pooled - pooled.mean(0)) / np.where(np.ptp(pooled, 0) > 0, spread, 1)
    distances = _distances(pooled)
    observed = np.zeros((1, len(pooled)))
    observed[0, : len(sets[0])] = 1
    permuted = rng.permuted(np.repeat(observed, count, 0), axis=1)
    found = _energy(distances, observed)[0]
    # Equal up to rounding is equal, which is the safe side.
    reached = _energy(distances, permuted) >= found - 1e-9 * float(distances.mean())
    return float(1 + reached.sum()) / (1 + count)


def _energy(distances: NDArray[np.float64], members: NDArray[np.float64]) -> NDArray[np.float64]:
    """Energy distance between the members ``(N, n)`` and the others, one for each row."""
    one, other = members.sum(1), (1 - members).sum(1)
    towards = members @ distances
    within = (towards * members).sum(1)
    between = (towards * (1 - members)).sum(1)
    without = distances.sum() - within - 2 * between
    energy: NDArray[np.float64] = 2 * between / (one * other) - within / one**2 - without / other**2
    return energy


def _distances(points: NDArray[np.float64]) -> NDArray[np.float64]:
    squares = (points**2).sum(1)
    squared = squares[:, None] + squares - 2 * points @ points.T
    distances: NDArray[np.float64] = np.sqrt(np.clip(squared, 0, None))
    np.fill_diagonal(distances, 0.0)
    return distances


def _drawn(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return values if len(values) <= MOST_IMAGES else values[rng.permutation(len(values))[:MOST_IMAGES]]


def _checked(values: ArrayLike, name: str) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2 or not found.size or not np.isfinite(found).all():
        raise ValueError(
            f"{name} must be finite features (n, F) of at least one image, got shape {found.shape}; give each a row."
        )
    return found
