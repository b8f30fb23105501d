# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Missed lesions: counted in drawings, and decided by one score each."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from monai_coat.calibration import Exceeds, ExpectedRisk, LesionsMissed
from tests.calibration.risks.critical import batches, check_critical_scores

# Two lesions: a diagonal of three voxels, and one voxel alone.
LABELS = torch.tensor([[[[1, 0, 0, 0, 1], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0]]]])
SCORES = torch.tensor([[[[0.9, 0.0, 0.0, 0.0, 0.3], [0.0, 0.5, 1.0, 0.0, 0.0], [0.0, 0.0, 0.2, 0.0, 0.0]]]])


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 1.0])
@settings(max_examples=40)
@given(maps=batches())
def test_the_risk_is_the_share_of_critical_scores_below_the_cutoff(overlap, maps):
    check_critical_scores(LesionsMissed(overlap), *maps)


@settings(max_examples=40)
@given(maps=batches())
def test_images_that_miss_too_many_lesions_have_a_critical_score(maps):
    check_critical_scores(Exceeds(LesionsMissed(0.5), 0.5), *maps)


@pytest.mark.parametrize(
    # Of the diagonal 0.9, 0.5 and 0.2, one, one, two and three voxels must be in the set.
    ("overlap", "diagonal"),
    [(0, 0.9), (0.33, 0.9), (0.34, 0.5), (0.5, 0.5), (0.67, 0.2), (1, 0.2)],
)
def test_a_lesion_is_lost_above_the_score_of_the_last_voxel_that_it_needs(overlap, diagonal):
    (numbers,), shape = LesionsMissed(overlap).critical_scores(SCORES, LABELS)
    assert (numbers.sort().values.tolist(), shape) == (pytest.approx(sorted([0.3, diagonal])), (1, 1))


@pytest.mark.parametrize(("cutoff", "missed"), [(0.1, 0), (0.3, 0.0), (0.4, 0.5), (0.5, 0.5), (0.6, 1)])
def test_half_of_two_lesions_is_missed(cutoff, missed):
    assert LesionsMissed(0.5).image_risk(SCORES, LABELS, torch.tensor(cutoff)).tolist() == [[missed]]


def test_images_without_the_class_are_left_out():
    risk = LesionsMissed()
    assert risk.image_risk(SCORES, LABELS * 0, 0.5).isnan().tolist() == [[True]]
    (numbers,), _ = risk.critical_scores(SCORES, LABELS * 0)
    assert numbers.shape == (0,)
    assert (risk.counted, risk.rises) == ("images with foreground", True)


def test_the_mean_share_is_as_agreed():
    # 20 images of two lesions, of which one is lost above i / 20. At 0.1 * 21 - 1 = 1.1, two halves may be lost.
    scores = torch.stack([torch.tensor([[i / 20, 0.0, 1.0]]) for i in range(1, 21)])
    guarantee = ExpectedRisk(LesionsMissed(), alpha=0.1)
    statistic = guarantee.statistic()
    statistic.update(scores, torch.tensor([1, 0, 1]).expand(20, 1, 3))
    (solution,) = statistic.solve(guarantee.budget)
    assert solution.cutoff == float(torch.tensor(3 / 20))
    assert solution.risk == 0.05


def test_the_overlap_is_said():
    assert (LesionsMissed().key, LesionsMissed(0.5).key) == ("lesions_missed(0.0)", "lesions_missed(0.5)")
    assert LesionsMissed().expected_words == "E[share of lesions missed]"
    assert LesionsMissed(0.5).words == "share of lesions less than 0.5 covered"


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"overlap must be in \[0, 1\], got 1\.5"):
        LesionsMissed(1.5)
    with pytest.raises(ValueError, match="finite"):
        LesionsMissed().image_risk(torch.tensor([[[torch.nan]]]), torch.ones(1, 1, 1), 0.5)
