# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A promise that holds for every size of a calibration set that grows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from monai_coat.calibration.guarantees.confident import ConfidentRisk

__all__ = ["GrowingSet"]


@dataclass(frozen=True)
class GrowingSet(ConfidentRisk):
    r"""With probability at least ``1 - delta``, every calibration of a set that grows keeps the mean risk at ``alpha``.

    .. math:: P\big(\forall n :\ E[L(\hat c_n) \mid \hat c_n] \le \alpha\big) \ge 1 - \delta

    Who calibrates again whenever ten more images are annotated, and stops when the sets are small enough, looks many
    times; a promise for one n says nothing about the best of many. This one is for all of them together, whenever one
    looks and whatever one decides by what is seen. Images come in any order, but which image comes next must not depend
    on the scores or masks of those that are there.

    Evidence is what a gambler has won who bets, image by image, that the risk is below alpha, with stakes that are
    fixed beforehand. At a cutoff whose mean risk is above alpha this is not in the gambler's favour, so that the
    evidence ever reaches 1 / delta with probability at most delta (Ville). It falls as the cutoff rises: what is true
    for the lowest such cutoff is true for all (see :func:`~monai_coat.functional.betting_evidence`).

    Args:
        risk: what one image loses, in [0, 1].
        alpha: tolerated mean risk, in (0, 1).
        delta: tolerated probability that any of the calibrations does not keep it, in (0, 1).
        bound: betting; the others hold for one n only.
        class_names: what messages and the words of the promise call the classes.

    Raises:
        ValueError: as :class:`ConfidentRisk`, or if the bound is another.

    Example:
        >>> GrowingSet(alpha=0.1, delta=0.05).promise
        'P(E[FNR] <= 0.1) >= 0.95'

    Source:
        Ville, Étude critique de la notion de collectif (1939); Waudby-Smith and Ramdas, Estimating means of bounded
        random variables by betting (JRSS B 2024), section 4; for calibration sets that grow, arXiv 2602.04364.
    """

    name: ClassVar[str] = "growing_set"
    bound: str = "betting"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bound != "betting":
            raise ValueError(f"bound must be betting, got {self.bound!r}, which holds for one number of images only.")

    @property
    def lead(self) -> str:
        """At which sizes of the set."""
        return f"Whenever the growing set is calibrated, in all but {100 * self.delta:g} of 100 such sets: "

    def scope_over(self, units: str) -> str:
        """Over all calibrations of the set while it grows."""
        return (
            f"for all sizes of the calibration set at once, while it grows, the mean being over new {units}, "
            "drawn as they were and independently"
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """Probability of failure."""
        return {"delta": float(self.delta)}
