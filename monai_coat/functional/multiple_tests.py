# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Many tests at once, such that any false rejection at all has probability at most delta."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["graphical_test", "holm_graph", "sequence_graph"]

Graph = tuple[NDArray[np.float64], NDArray[np.float64]]


def graphical_test(p_values: ArrayLike, graph: Graph, delta: float) -> NDArray[np.bool_]:
    r"""Hypotheses that a graph of tests rejects; the probability of any false rejection is at most ``delta``.

    Each hypothesis i has a share :math:`w_i` of delta, and is rejected if that is above 0 and
    :math:`p_i \le w_i \delta`. What a rejected one had is passed on along the edges :math:`g_{ij}`, which are redrawn
    around it:

    .. math:: w_j \leftarrow w_j + w_i g_{ij}, \qquad
        g_{jk} \leftarrow \frac{g_{jk} + g_{ji} g_{ik}}{1 - g_{ji} g_{ij}},

    until no other can be rejected. The order in which they are is no matter. The p-values may depend on each other.

    Args:
        p_values: one for each hypothesis, shape ``(m,)``.
        graph: shares ``(m,)``, not negative, of sum at most 1; and edges ``(m, m)``, not negative, of which each row
            has the sum 1 at most and nothing on the diagonal. :func:`holm_graph` and :func:`sequence_graph` make some.
        delta: tolerated probability of any false rejection, in (0, 1).

    Returns:
        Bool ``(m,)``.

    Raises:
        ValueError: if shares or edges are not as above.

    Example:
        >>> p_values = [0.01, 0.04, 0.03]
        >>> graphical_test(p_values, holm_graph(3), delta=0.05), graphical_test(p_values, sequence_graph(3), delta=0.05)
        (array([ True, False, False]), array([ True,  True,  True]))

    Source:
        Bretz et al., A graphical approach to sequentially rejective multiple test procedures (Statistics in Medicine
        2009), algorithm 1; Angelopoulos et al., Learn then Test (2021), section 2.
    """
    p, (shares, edges) = np.asarray(p_values, dtype=np.float64), (np.array(part, dtype=np.float64) for part in graph)
    _check_graph(p, shares, edges)
    rejected = np.zeros(len(p), bool)
    while True:
        ready = np.flatnonzero(~rejected & (shares > 0) & (p <= shares * delta))
        if not ready.size:
            return rejected
        i = int(ready[0])
        rejected[i] = True
        shares, edges = shares + shares[i] * edges[i], _around(edges, i)
        shares[i] = 0.0


def _around(edges: NDArray[np.float64], i: int) -> NDArray[np.float64]:
    """The edges when a hypothesis has gone: what led to it leads on."""
    back = edges[:, i] * edges[i]
    through = edges + np.outer(edges[:, i], edges[i])
    passed: NDArray[np.float64] = np.divide(
        through, 1 - back[:, None], out=np.zeros_like(edges), where=back[:, None] < 1
    )
    np.fill_diagonal(passed, 0.0)
    passed[i], passed[:, i] = 0.0, 0.0
    return passed


def _check_graph(p: NDArray[np.float64], shares: NDArray[np.float64], edges: NDArray[np.float64]) -> None:
    most = 1 + 1e-9
    fits = p.ndim == 1 and shares.shape == p.shape and edges.shape == (len(p), len(p))
    if not fits or (shares < 0).any() or shares.sum() > most:
        raise ValueError(
            f"graph must have a share of each of the {len(p)} hypotheses, of sum at most 1, got {shares.shape} of sum "
            f"{shares.sum():g}; see holm_graph."
        )
    if (edges < 0).any() or (edges.sum(1) > most).any() or np.diag(edges).any():
        raise ValueError("graph must have edges of sum at most 1 from each hypothesis, and none to itself.")


def holm_graph(count: int) -> Graph:
    """Equal shares, and edges from each to all others: Holm's procedure.

    Example:
        >>> [part.tolist() for part in holm_graph(2)]
        [[0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]]]
    """
    edges = (np.ones((count, count)) - np.eye(count)) / max(count - 1, 1)
    return np.full(count, 1 / count), edges


def sequence_graph(count: int, starts: int = 1, downwards: bool = False) -> Graph:
    """Shares at evenly spaced starts, from each of which tests go on one by one: fixed sequences.

    Args:
        count: hypotheses, in order.
        starts: how many of them are tested at first, with an equal share each; where a sequence comes to a start that
            was rejected already, it goes on behind it.
        downwards: whether sequences go from the last to the first.

    Example:
        >>> [part.tolist() for part in sequence_graph(3)]
        [[1.0, 0.0, 0.0], [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]]
    """
    if not 1 <= starts <= count:
        raise ValueError(f"starts must be from 1 to the {count} hypotheses, got {starts}.")
    shares = np.zeros(count)
    shares[[math.floor(index * count / starts) for index in range(starts)]] = 1 / starts
    edges = np.eye(count, k=1)
    return (shares[::-1].copy(), edges[::-1, ::-1].copy()) if downwards else (shares, edges)
