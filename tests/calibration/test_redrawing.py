# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Who calibrates is drawn again: fair where images are exchangeable, small where they lose more."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_coat.calibration import CRITICAL, FalseNegativeRate, FalsePositiveRatio, critical_sketch, redrawing_p_value
from monai_coat.functional import clopper_pearson


def images(rng, count, harder=0.0):
    """Critical scores of images of differing hardness, thinned."""
    return np.sort(rng.random((count, CRITICAL)) * rng.uniform(0.3, 1, (count, 1)) * (1 - harder), 1)


def test_a_sketch_has_the_ends_and_is_nothing_where_the_image_does_not_count():
    scores, labels = torch.arange(200).float().reshape(2, 100) / 200, torch.ones(2, 100)
    labels[1] = 0
    sketch = critical_sketch(FalseNegativeRate(), scores, labels)
    assert sketch.shape == (2, CRITICAL)
    assert (float(sketch[0, 0]), float(sketch[0, -1])) == (0.0, float(scores[0, -1]))
    assert bool((sketch[0].diff() >= 0).all())
    assert bool(sketch[1].isnan().all())
    labels[0, 1:] = 0  # one pixel of foreground, and of the background the highest
    negative = critical_sketch(FalsePositiveRatio(), scores, labels)
    assert set(negative[0].tolist()) == {-float(scores[0, -1])}


def test_by_hand():
    # One of two images calibrates at a level of a half: a sum of 0 is tolerated, and the cutoff is its lowest score.
    low, high = np.full((1, CRITICAL), 0.25), np.full((1, CRITICAL), 0.75)
    # Calibrated on the high one, the low one is lost; the other way round nothing is: half of all divisions reach 1.
    found = redrawing_p_value(high, low, 0.5, permutations=999)
    assert 0.4 < found < 0.6
    assert redrawing_p_value(low, high, 0.5) == 1.0


def test_of_exchangeable_images_it_is_uniform_or_larger():
    rng, rounds = np.random.default_rng(0), 300
    small = sum(redrawing_p_value(images(rng, 15), images(rng, 25), 0.2, 99, seed) <= 0.1 for seed in range(rounds))
    assert clopper_pearson(small, rounds, 0.999)[0] <= 0.1


def test_images_that_lose_more_are_found_and_those_that_lose_less_are_not():
    rng = np.random.default_rng(1)
    assert redrawing_p_value(images(rng, 30), images(rng, 40, harder=0.5), 0.1) <= 0.01
    assert redrawing_p_value(images(rng, 30, harder=0.5), images(rng, 40), 0.1) > 0.5


def test_the_order_of_images_is_no_matter_for_what_is_seen():
    rng = np.random.default_rng(2)
    first, second = images(rng, 20), images(rng, 20, harder=0.2)
    assert redrawing_p_value(first, second, 0.2) == pytest.approx(redrawing_p_value(first[::-1], second, 0.2), abs=0.05)


@pytest.mark.parametrize("wrong", [np.zeros((0, CRITICAL)), np.full((2, CRITICAL), np.nan)])
def test_nothing_and_what_does_not_count_are_refused(wrong):
    with pytest.raises(ValueError, match="sketches must be finite and of one image at least"):
        redrawing_p_value(wrong, np.zeros((2, CRITICAL)), 0.2)
