# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The expected coverage as the score, as in CRA."""

from __future__ import annotations

import torch

from monai_coat.functional import expected_coverage_scores
from monai_coat.scorers import ExpectedCoverageScorer


def test_scores_are_the_function_and_keep_the_promise(blobs, promise):
    image, probs, labels = blobs
    scores = ExpectedCoverageScorer()(image, probs)
    assert torch.equal(scores, expected_coverage_scores(probs))
    assert promise(scores[:30], labels[:30]) <= 0.2 + 1e-12
