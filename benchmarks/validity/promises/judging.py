# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Whether what was realised is evidence against a promise, at a level that leaves a right one nearly always alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_coat.functional import betting_lower_bound, clopper_pearson

ERROR = 0.01
"""Probability, at most, that any row of a right implementation is called broken."""


@dataclass(frozen=True)
class Outcome:
    """What the draws of one row gave.

    Attributes:
        risk: key of the risk, or its words.
        promise: the promise as a formula.
        by: guarantee and settings, in short.
        n: images or patients of a draw.
        level: what the mean of the values may be at most: a level, a share, or delta.
        values: of each draw, the true risk, or whether the draw broke the level (0 or 1).
        refused: draws that were refused, which lose nothing.
    """

    risk: str
    promise: str
    by: str
    n: int
    level: float
    values: tuple[float, ...]
    refused: int = 0

    @property
    def mean(self) -> float:
        """What was realised."""
        return float(np.mean(self.values))

    def least(self, rows: int) -> float:
        """A lower confidence bound of the mean over all draws that could be, for one of so many rows."""
        chance, values = ERROR / rows, np.asarray(self.values)
        if set(np.unique(values)) <= {0.0, 1.0}:
            return clopper_pearson(int(values.sum()), len(values), 1 - 2 * chance)[0]
        return betting_lower_bound(values, chance)

    def kept(self, rows: int) -> bool:
        """Whether the bound leaves the level alone."""
        return self.least(rows) <= self.level

    def to_json(self, rows: int) -> dict[str, Any]:
        """Plain numbers for the page."""
        facts = {name: getattr(self, name) for name in ("risk", "promise", "by", "n", "level", "mean", "refused")}
        return {**facts, "draws": len(self.values), "least": self.least(rows), "kept": self.kept(rows)}
