# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Whether chance explains how much audited images lose: who calibrates is drawn again among all images."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from monai_coat.calibration.risks import Risk
from monai_coat.functional import exact_level
from monai_coat.functional.checks import check_count

__all__ = ["CRITICAL", "critical_sketch", "redrawing_p_value"]

CRITICAL = 64
"""Numbers that are kept of an image's critical scores."""

_CUTOFFS = 512


def critical_sketch(risk: Risk, scores: Tensor, labels: Tensor) -> Tensor:
    """Critical scores of an image, thinned to 64 of them, evenly spaced in rank, for each class.

    Args:
        risk: a share of scores, see :meth:`~monai_coat.calibration.Risk.critical_scores`.
        scores: score map ``(C, *spatial)``.
        labels: reference masks of the same shape.

    Returns:
        float32 ``(C, 64)``, ascending; NaN where the image does not count.

    Example:
        >>> from monai_coat.calibration import FalseNegativeRate
        >>> critical_sketch(FalseNegativeRate(), torch.tensor([[0.2, 0.7, 0.9]]), torch.tensor([[0, 1, 1]]))[0, [0, -1]]
        tensor([0.7000, 0.9000])
    """
    values, (_, found) = risk.critical_scores(scores[None], labels[None])
    rows = []
    for index in range(len(scores)):
        ordered = values[index * found // len(scores)].detach().float().cpu().sort().values
        places = torch.linspace(0, max(ordered.numel() - 1, 0), CRITICAL).round().long()
        rows.append(ordered[places] if ordered.numel() else torch.full((CRITICAL,), torch.nan))
    return torch.stack(rows)


def redrawing_p_value(
    calibration: ArrayLike, audited: ArrayLike, alpha: float, permutations: int = 999, seed: int = 0
) -> float:
    r"""P-value of the hypothesis that calibration and audited images are exchangeable, by what the latter lose.

    Calibration on n images and audit of m others are repeated with who calibrates drawn at random among all n + m:

    .. math:: T = \frac{1}{m} \sum_{i \text{ audited}} L_i(\hat c), \qquad
        p = \frac{1 + |\{k : T_k \ge T\}|}{1 + N},

    with the cutoff of conformal risk control each time. If the images are exchangeable, :math:`P(p \le u) \le u` for
    every u: chance in who calibrates, large as it is for small n, is in every repetition, too. Losses are those of the
    sketches, of which 64 numbers are kept of each image, at cutoffs of a grid.

    Args:
        calibration: sketches of the calibration images that count, ``(n, 64)``, see :func:`critical_sketch`.
        audited: sketches of the audited images that count, ``(m, 64)``.
        alpha: level of the calibration.
        permutations: N, at least 1.
        seed: of the permutations.

    Returns:
        A number in [1 / (1 + N), 1]; small if the audited images lose more than exchangeable ones would.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> good, bad = rng.random((40, 64)), 0.5 * rng.random((40, 64))
        >>> redrawing_p_value(good, bad, 0.2), redrawing_p_value(good, rng.random((40, 64)), 0.2) > 0.05
        (0.001, True)

    Source:
        Phipson and Smyth, Permutation p-values should never be zero (SAGMB 2010).
    """
    count = check_count(permutations, "permutations")
    first, second = (np.sort(np.asarray(part, dtype=np.float64), 1) for part in (calibration, audited))
    if not len(first) or not len(second) or not np.isfinite(first).all() or not np.isfinite(second).all():
        raise ValueError(f"sketches must be finite and of one image at least, got {len(first)} and {len(second)}.")
    curves = _curves(np.concatenate([first, second]))
    members = np.zeros((1, len(curves)))
    members[0, : len(first)] = 1
    observed = _mean_risk(curves, members, alpha)[0]
    redrawn = np.random.default_rng(seed).permuted(np.repeat(members, count, 0), axis=1)
    reached = _mean_risk(curves, redrawn, alpha) >= observed - 1e-12
    return float(1 + reached.sum()) / (1 + count)


def _curves(sketches: NDArray[np.float64]) -> NDArray[np.float64]:
    """The risk of each image at each cutoff of a grid, rising from 0."""
    cutoffs = np.unique(np.quantile(sketches, np.linspace(0, 1, _CUTOFFS), method="lower"))
    below = np.stack([np.searchsorted(row, cutoffs, side="left") for row in sketches])
    shares: NDArray[np.float64] = below / sketches.shape[1]
    return shares


def _mean_risk(curves: NDArray[np.float64], members: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """Mean risk of the others at the cutoff of the members, for each row of members."""
    n = int(members[0].sum())
    budget = float(exact_level(alpha) * (n + 1) - 1)
    steps = np.maximum(((members @ curves) <= budget + 1e-9).sum(1) - 1, 0)
    others = ((1 - members) @ curves)[np.arange(len(members)), steps]
    means: NDArray[np.float64] = others / (len(curves) - n)
    return means
