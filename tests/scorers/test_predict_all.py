# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The predictor of all pixels, to which tables compare."""

from __future__ import annotations

import pytest
import torch

from monai_coat.calibration import calibrate_maps
from monai_coat.functional import coverage_gap, true_positive_rate
from monai_coat.scorers import PredictAllScorer


@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_the_scorer_of_all_pixels_predicts_everything_and_has_a_gap_of_alpha(blobs, alpha):
    image, probs, labels = blobs
    scores = PredictAllScorer()(image, probs)
    result = calibrate_maps(list(scores), list(labels), alpha)
    assert result.risk == (0.0,)
    assert (scores >= result.cutoff[0]).all()
    gap = coverage_gap(true_positive_rate(scores, labels, result.cutoff[0]), alpha)
    torch.testing.assert_close(gap, torch.full_like(gap, alpha))
    assert PredictAllScorer().calibrated_threshold(image, probs, torch.zeros(1)) is None
    assert torch.equal(torch.jit.script(PredictAllScorer())(image, probs), scores)
