# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Batches of score maps and labels that hypothesis draws."""

from __future__ import annotations

import numpy as np
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
