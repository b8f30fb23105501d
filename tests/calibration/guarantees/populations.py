# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A population whose true risk is known, and how many failures of a promise chance explains."""

from __future__ import annotations

import math

import numpy as np
import torch


def pixels(scores):
    """Images of one foreground pixel each: of uniform scores, the false negative rate at cutoff c in [0, 1] is c."""
    maps = torch.as_tensor(np.asarray(scores), dtype=torch.float32).reshape(-1, 1, 1)
    return maps, torch.ones_like(maps)


def filled(statistic, scores, meta=None):
    """The statistic after :func:`pixels` of these scores."""
    statistic.update(*pixels(scores), *(() if meta is None else (meta,)))
    return statistic


def most_by_chance(runs, delta, chance=1e-4):
    """So many failures in independent runs, of probability delta each, or more have at most this chance."""
    tail = 1.0
    for count in range(runs + 1):
        if tail <= chance:
            return count
        tail -= math.comb(runs, count) * delta**count * (1 - delta) ** (runs - count)
    return runs + 1
