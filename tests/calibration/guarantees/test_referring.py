# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Of images of which each is new once, no more are referred for their size than promised, whichever way the risk goes.

This is exact, for every set of images: the limit of size is an order statistic of images that change places.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import (
    Exceeds,
    ExpectedRisk,
    FalseAlarm,
    FalseNegativeRate,
    FalsePositiveRatio,
    MarkedShare,
    Referring,
    VolumeOverestimated,
    VolumeUnderestimated,
    WorstClassFalseNegativeRate,
)

RISKS = [
    FalseNegativeRate(),
    VolumeUnderestimated(),
    WorstClassFalseNegativeRate(),
    FalsePositiveRatio(),
    Exceeds(FalsePositiveRatio(), 0.5),
    VolumeOverestimated(),
    MarkedShare(),
    FalseAlarm(),
]


def referred_for_size(guarantee: Referring, scores: torch.Tensor, labels: torch.Tensor) -> tuple[int, int]:
    """How many images are referred for the size of their set when all others calibrate, and how many are not refused.

    With one class, half of the share is for sizes.
    """
    referred = accepted = 0
    for new in range(len(scores)):
        others = [place for place in range(len(scores)) if place != new]
        statistic = guarantee.statistic()
        statistic.update(scores[others], labels[others])
        try:
            result = guarantee.calibrate(statistic)
        except ValueError:
            continue
        share = float((scores[new, 0] >= result.cutoff[0]).double().mean())
        referred += share > result.referral.sizes[0]
        accepted += 1
    return referred, accepted


@pytest.mark.parametrize("risk", RISKS, ids=lambda risk: risk.key)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), alpha=st.sampled_from([0.2, 0.3, 0.5, 0.9]), share=st.sampled_from([0.2, 0.5]))
def test_no_more_are_referred_for_their_size_than_half_of_the_share(risk, seed, alpha, share):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 8, (12, 1, 6), generator=generator) / 8
    labels = torch.rand(12, 1, 6, generator=generator) < 0.4
    if risk.counted == "images without foreground":
        labels[2:] = False
    referred, _ = referred_for_size(Referring(ExpectedRisk(risk, alpha), share), scores, labels)
    assert referred <= share / 2 * len(scores)


def test_false_positives_are_bounded_where_one_image_decides():
    """Nine images tolerate one at alpha 0.2: the cutoff is just above the second largest of their background scores.

    The image with the highest scores, and the one after it, have all their pixels in the set of the others' cutoff, and
    a limit that is read off at a higher cutoff would refer both.
    """
    scores = torch.tensor([[[0.01 * (place + 1)] * 4 + [0.9]] for place in range(10)])
    labels = torch.zeros(10, 1, 5, dtype=torch.bool)
    labels[..., 4] = True
    guarantee = Referring(ExpectedRisk(FalsePositiveRatio(), 0.2), share=0.2)
    referred, accepted = referred_for_size(guarantee, scores, labels)
    assert accepted == 10
    assert referred <= 1


def test_where_all_images_may_be_lost_no_size_is_too_large():
    # Nine images tolerate 0.9 * 10 - 1 = 8 of them; with one more that is all.
    labels = torch.zeros(9, 1, 4, dtype=torch.bool)
    labels[..., 0] = True
    guarantee = Referring(ExpectedRisk(FalsePositiveRatio(), 0.9), share=0.5)
    statistic = guarantee.statistic()
    statistic.update(torch.linspace(0, 1, 36).reshape(9, 1, 4), labels)
    assert guarantee.calibrate(statistic).referral.sizes == (1.0,)


def test_a_class_without_images_refers_none():
    scores, labels = torch.rand(20, 2, 6), torch.zeros(20, 2, 6, dtype=torch.bool)
    labels[:, 0, :2] = True
    guarantee = Referring(ExpectedRisk(FalsePositiveRatio(), 0.2), share=0.5)
    statistic = guarantee.statistic()
    statistic.update(scores, labels)
    result = guarantee.calibrate(statistic)
    assert result.promised == (True, False)
    assert result.referral.sizes[1] == 1.0
