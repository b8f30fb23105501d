# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The two sides of an interval for a structure's size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from monai_coat.calibration import ExpectedRisk, VolumeOverestimated, VolumeUnderestimated
from monai_coat.functional.ranks import NEVER
from tests.calibration.risks.critical import batches, check_critical_scores

UNDER, OVER = VolumeUnderestimated(), VolumeOverestimated()
SCORES = torch.tensor([[[0.1, 0.6, 0.3, 0.6, 0.2]]])


@pytest.mark.parametrize("risk", [UNDER, OVER], ids=lambda risk: risk.key)
@settings(max_examples=60)
@given(maps=batches())
def test_the_risk_is_the_side_of_its_critical_score(risk, maps):
    check_critical_scores(risk, *maps)


def test_a_set_of_three_is_too_small_for_four_and_too_large_for_two():
    # In order 0.6, 0.6, 0.3, 0.2, 0.1: at 0.25 the set has three voxels, wherever the structure is.
    for size, expected in ((2, (0, 1)), (3, (0, 0)), (4, (1, 0))):
        labels = (torch.arange(5) < size).float()[None, None]
        assert tuple(float(risk.image_risk(SCORES, labels, 0.25)) for risk in (UNDER, OVER)) == expected


@pytest.mark.parametrize(
    ("size", "under", "over"), [(0, NEVER, -0.6), (1, 0.6, -0.6), (2, 0.6, -0.3), (4, 0.2, -0.1), (5, 0.1, NEVER)]
)
def test_the_critical_scores_are_of_the_ranks_beside_the_size(size, under, over):
    labels = (torch.arange(5) < size).float()[None, None]
    for risk, expected in ((UNDER, under), (OVER, over)):
        (number,), shape = risk.critical_scores(SCORES, labels)
        assert (number.tolist(), shape) == (pytest.approx([expected]), (1, 1))


def test_all_images_count():
    labels = torch.zeros(2, 1, 5)
    labels[1] = 1
    for risk in (UNDER, OVER):
        statistic = risk.statistic()
        statistic.update(SCORES.repeat(2, 1, 1), labels)
        assert (statistic.n, statistic.n_empty) == ((2,), (0,))
        assert risk.counted == "images"


def test_they_are_said_as_probabilities():
    assert (UNDER.key, UNDER.words) == ("volume_underestimated", "1{set smaller than the structure}")
    assert (OVER.key, OVER.words) == ("volume_overestimated", "1{set larger than the structure}")
    assert (UNDER.expected_words, UNDER.rises) == ("P(set smaller than the structure)", True)
    assert (OVER.expected_words, OVER.rises) == ("P(set larger than the structure)", False)


@pytest.mark.parametrize(("risk", "structure"), [(UNDER, 0), (OVER, 1)])
def test_where_it_never_happens_any_set_is_promised(risk, structure):
    # A structure that is absent cannot be underestimated, nor one that fills its image overestimated.
    guarantee = ExpectedRisk(risk, 0.1)
    statistic = guarantee.statistic()
    statistic.update(torch.rand(20, 1, 5), torch.full((20, 1, 5), structure))
    (solution,) = statistic.solve(guarantee.budget)
    assert abs(solution.cutoff) < torch.finfo(torch.float32).max
    assert solution.risk == 0
    inside = torch.rand(1, 1, 5) >= solution.cutoff
    assert bool(inside.all()) if structure else not bool(inside.any())


def interval(scores, cutoffs):
    sizes = [(scores >= cutoff).flatten(1).sum(1) for cutoff in cutoffs]
    return torch.minimum(*sizes), torch.maximum(*sizes)


def test_leaving_one_out_the_interval_holds_the_size_as_often_as_agreed():
    # Noisy disks of any size, none among them. Each side loses at most floor(0.2 * 40) = 8 of 40 left out, so that
    # the interval holds at least 24 sizes; on the average it is not the whole image.
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(0, 40, (40,), generator=generator)
    labels = (torch.arange(50) < sizes[:, None])[:, None]
    scores = 0.6 * labels + torch.rand(40, 1, 50, generator=generator)
    held, width = 0, 0
    for out in range(40):
        kept = torch.arange(40) != out
        cutoffs = []
        for risk in (OVER, UNDER):
            guarantee = ExpectedRisk(risk, 0.2)
            statistic = guarantee.statistic()
            statistic.update(scores[kept], labels[kept])
            cutoffs.append(statistic.solve(guarantee.budget)[0].cutoff)
        low, high = interval(scores[out : out + 1], cutoffs)
        held += bool(low <= sizes[out] <= high)
        width += int(high - low)
    assert held >= 24
    assert width / 40 < 30
