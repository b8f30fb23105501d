# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Masks in place of scores, and maps without a class axis, by every way in."""

from __future__ import annotations

import pytest
import torch

from monai_coat.calibration import ScoreForms, calibrate_maps

MASKS = [torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])] * 12


def test_masks_are_refused_whatever_their_type():
    for dtype in (torch.float16, torch.float32, torch.float64):
        forms = ScoreForms()
        for mask in MASKS:
            forms.take(mask[None].to(dtype))
        with pytest.raises(ValueError, match="scores must have more values than 0 and 1, got masks; cut them later"):
            forms.check("cut them later")


@pytest.mark.parametrize("value", [0.5, 1e-7, -1.0, 1.0000001])
def test_one_other_value_is_enough(value):
    forms = ScoreForms()
    for scores in (MASKS[0], torch.full((1, 2, 2), value), MASKS[0]):
        forms.take(scores[None])
    forms.check("")


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_is_no_mask(value):
    """As the row predict-all has it."""
    forms = ScoreForms()
    forms.take(torch.full((3, 1, 2, 2), value))
    forms.check("")


def test_what_several_workers_saw_counts_together():
    zeros, ones, maps = ScoreForms(), ScoreForms(), ScoreForms()
    zeros.take(torch.zeros(1, 1, 2, 2))
    ones.take(torch.ones(1, 1, 2, 2))
    maps.take(torch.rand(1, 1, 2, 2))
    zeros.merge(ones)
    with pytest.raises(ValueError, match="got masks"):
        zeros.check("")
    zeros.merge(maps)
    zeros.check("")


def test_calibrate_maps_refuses_both():
    labels = [torch.ones(1, 2, 2)] * 12
    with pytest.raises(ValueError, match="got masks; give the scores that they were cut from"):
        calibrate_maps(MASKS, labels, 0.2)
    with pytest.raises(
        ValueError, match=r"image 0 .* must have the axes \(B, C, \*spatial\), got \(1, 8, 9\), .* 8 classes"
    ):
        calibrate_maps([torch.rand(8, 9)] * 12, [torch.ones(8, 9)] * 12, 0.2)
    assert len(calibrate_maps([torch.rand(1, 9)] * 12, [torch.ones(1, 9)] * 12, 0.2).cutoff) == 1
