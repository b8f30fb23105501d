# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Batches of score maps and labels that hypothesis draws."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st

SHAPES = [(3, 2, 9), (2, 1, 6, 5), (1, 3, 4, 3, 5)]


@st.composite
def batches(draw):
    """Scores on a grid, so that ties with the cutoff are common, and labels of which some are empty."""
    generator = np.random.default_rng(draw(st.integers(0, 2**31)))
    shape = draw(st.sampled_from(SHAPES))
    scores = generator.integers(-4, 5, shape).astype(np.float32) / 4
    labels = generator.random(shape) < generator.choice([0, 0.3, 1], (*shape[:2], *[1] * len(shape[2:])))
    return scores, labels


def shuffled(scores, labels, seed):
    """Both maps, flat, in their order and in another; and the function that puts a result ``(B, C)`` in that order."""
    scores, labels = scores.flatten(2), labels.flatten(2)
    generator = torch.Generator().manual_seed(seed)
    i, c, j = (torch.randperm(size, generator=generator) for size in scores.shape)
    return (scores, labels), tuple(x[i][:, c][:, :, j] for x in (scores, labels)), lambda rate: rate[i][:, c]
