# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Three images of four pixels, for numbers by hand at the cutoff 0.5."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def images():
    """Scores and labels ``(3, 1, 4)``.

    The first finds 2 of 3 with 2 pixels; the second finds 2 of 2, one of them a tie, with 3; the third has no
    foreground, and 1 pixel of false alarm.
    """
    scores = torch.tensor([[0.9, 0.8, 0.4, 0.3], [0.9, 0.1, 0.6, 0.5], [0.7, 0.1, 0.1, 0.1]])
    labels = torch.tensor([[1, 1, 0, 1], [1, 0, 0, 1], [0, 0, 0, 0]])
    return scores[:, None], labels[:, None]
