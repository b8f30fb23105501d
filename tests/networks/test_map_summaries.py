# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import pytest
import torch

from monai_coat.networks import MapSummaries


def logit(values):
    return torch.logit(torch.tensor(values).clamp(1e-4, 1 - 1e-4)) / 4


def test_a_flat_map_has_one_quantile_full_uncertainty_and_its_mean():
    found = MapSummaries(1)(torch.full((1, 1, 8, 8), 0.5))[0]
    assert torch.equal(found[:28], torch.zeros(28))  # logit of a half
    assert found[28].item() == pytest.approx(torch.tensor(0.5).log().item(), abs=1e-5)
    assert found[29].item() == 1.0


def test_ranks_and_mass_quantiles_by_hand():
    # Descending: 0.75, 0.25. Ranks floor(2^-0.5 * 2) = 1, floor(2^-1 * 2) = 1, then 0. The first pixel holds 0.75 of
    # the mass: thresholds for shares up to 0.7 are 0.75 (0.75 itself is missed by the tiny constant), beyond it 0.25.
    found = MapSummaries(1)(torch.tensor([[[0.25, 0.75]]]))[0]
    torch.testing.assert_close(found[:16], logit([0.25] * 2 + [0.75] * 14))
    torch.testing.assert_close(found[16:28], logit([0.75] * 4 + [0.25] * 8))
    assert found[29].item() == pytest.approx(0.5)  # 1 - 2 * 0.25


def test_the_order_of_pixels_plays_no_part():
    probs = torch.rand(2, 2, 12, 10)
    shuffled = probs.flatten(2)[..., torch.randperm(120)].reshape(2, 2, 10, 12)
    assert torch.equal(MapSummaries(2)(probs), MapSummaries(2)(shuffled))


def test_the_size_of_the_map_plays_no_part():
    probs = torch.rand(1, 1, 16, 16)
    larger = probs.repeat_interleave(2, -1).repeat_interleave(2, -2)
    torch.testing.assert_close(MapSummaries(1)(probs), MapSummaries(1)(larger), atol=1e-4, rtol=1e-4)


def test_images_and_classes_are_told_apart():
    probs = torch.rand(2, 3, 8, 8)
    together = MapSummaries(3)(probs)
    for image in range(2):
        for index in range(3):
            alone = MapSummaries(1)(probs[image : image + 1, index : index + 1])[0]
            torch.testing.assert_close(together[image, 30 * index : 30 * (index + 1)], alone)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 6, 6), (2, 1, 4, 4, 4)])
def test_maps_of_zeros_and_ones_give_finite_numbers(value, shape):
    probs = torch.full(shape, value, requires_grad=True)
    found = MapSummaries(1)(probs)
    assert found.shape == (shape[0], 30)
    assert bool(found.isfinite().all())
    found.sum().backward()
    assert bool(probs.grad.isfinite().all())


def test_nothing_of_it_is_in_the_weights():
    assert not MapSummaries(1).state_dict()
