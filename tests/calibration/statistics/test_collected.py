# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A statistic with what it is of: tokens find the same image, and nothing but the same image."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from monai_coat.calibration import BinnedStatistic, CollectedStatistic, CoverageStatistic, PipelineIdentity

SCORES = torch.rand(12, 2, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([1, 0, 1, 0, 0, 1, 0, 0]).expand(12, 2, 8) == 1


def tokens(scores, labels, identity=None):
    collected = CollectedStatistic(CoverageStatistic(), identity)
    collected.update(scores, labels)
    return collected.images


def test_each_image_has_a_token_of_64_bits():
    images = tokens(SCORES, LABELS)
    assert len(images) == 12
    assert all(len(token) == 16 and set(token) <= set("0123456789abcdef") for token in images)


def test_an_image_has_its_token_in_any_batch_type_and_wrapping():
    expected = tokens(SCORES, LABELS)
    single = set().union(*(tokens(SCORES[i : i + 1], LABELS[i : i + 1]) for i in range(12)))
    assert single == expected
    assert tokens(SCORES.double(), LABELS.int()) == expected
    assert tokens(MetaTensor(SCORES).requires_grad_(), MetaTensor(LABELS.float())) == expected


@pytest.mark.parametrize(
    ("scores", "labels", "identity"),
    [
        (SCORES.flip(2), LABELS.flip(2), None),
        (SCORES + 2**-20, LABELS, None),
        (SCORES, LABELS.roll(1, 2), None),
        (SCORES.flip(1), LABELS.flip(1), None),
        (SCORES.reshape(12, 2, 2, 4), LABELS.reshape(12, 2, 2, 4), None),
        (SCORES, LABELS, PipelineIdentity({"weights": "a"})),
    ],
)
def test_another_image_or_network_has_other_tokens(scores, labels, identity):
    assert not tokens(SCORES, LABELS) & tokens(scores, labels, identity)


def test_objects_of_one_size_in_saturated_maps_are_still_two_images():
    # Three pixels of score 1 in both; were foreground scores all that counts, the images would be one.
    scores, labels = torch.ones(2, 1, 8), torch.zeros(2, 1, 8)
    labels[0, 0, :3], labels[1, 0, 4:7] = 1, 1
    assert len(tokens(scores, labels)) == 2


def test_an_image_without_foreground_has_no_token_and_one_with_a_single_class_has():
    labels = LABELS.clone()
    labels[0], labels[1, 0] = False, False
    labels[1, 1, 0] = True
    assert len(tokens(SCORES, labels)) == 11


def test_what_is_refused_adds_no_token():
    collected = CollectedStatistic(CoverageStatistic())
    with pytest.raises(ValueError, match="finite"):
        collected.update(torch.full((1, 1, 4), torch.nan), torch.ones(1, 1, 4))
    assert not collected.images


def test_merging_joins_statistics_and_tokens():
    parts = [CollectedStatistic(BinnedStatistic(0.0, 1.0)) for _ in range(2)]
    for part, rows in zip(parts, (slice(0, 5), slice(5, 12)), strict=True):
        part.update(SCORES[rows], LABELS[rows])
    parts[0].merge(parts[1])
    assert parts[0].images == tokens(SCORES, LABELS)
    assert parts[0].statistic.n == (12, 12)
    with pytest.raises(TypeError, match="other must be a BinnedStatistic"):
        parts[0].merge(CollectedStatistic(CoverageStatistic()))


def test_its_state_travels():
    collected, other = (
        CollectedStatistic(CoverageStatistic(), PipelineIdentity({"weights": "a"}), "at") for _ in range(2)
    )
    collected.update(SCORES, LABELS)
    other.load_state_dict(collected.state_dict())
    assert (other.images, other.statistic.n) == (collected.images, (12, 12))
