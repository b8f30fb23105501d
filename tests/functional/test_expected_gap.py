# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Curves over thresholds, and the choice of a threshold on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_coat.functional import (
    GapPrices,
    coverage_curves,
    coverage_gap,
    foreground_sketch,
    gap_prices,
    least_expected_gap,
    precision,
    precision_curves,
    precision_of_one_threshold,
    saved_gap,
    true_positive_rate,
)

STEPS = torch.linspace(0, 1, 21)


@pytest.fixture
def maps(rng):
    """Thirty maps of 100 pixels with foreground that is likelier where the map is bright, one without any."""
    probs = torch.from_numpy(rng.random((30, 1, 10, 10)) ** 2).float()
    labels = torch.from_numpy(rng.random(probs.shape)) < probs
    labels[7] = False
    return probs, labels


def test_coverage_curves_are_the_true_positive_rate(maps):
    probs, labels = maps
    foreground = [p[y].sort().values for p, y in zip(probs, labels, strict=True)]
    for values, p, y in zip(foreground, probs, labels, strict=True):
        if values.numel():
            expected = [true_positive_rate(p[None], y[None], float(t)).item() for t in STEPS]
            np.testing.assert_allclose(coverage_curves(values, STEPS).numpy(), expected, atol=1e-6)


def test_curves_of_an_image_without_foreground_are_unknown(maps):
    curves = coverage_curves(foreground_sketch(*maps, 64), STEPS)
    assert torch.isnan(curves[7]).all()
    assert not torch.isnan(curves[:7]).any()


def test_precision_curves_are_the_precision_and_one_for_an_empty_set(maps):
    probs, labels = maps
    curves = precision_curves(probs, labels, STEPS)
    for k, step in enumerate(STEPS):
        expected = precision(probs, labels, step).nan_to_num(1.0)
        torch.testing.assert_close(curves[..., k].double(), expected.double(), atol=1e-6, rtol=0)


def test_precision_curves_count_ties_in_any_order_of_thresholds_block_by_block(maps, monkeypatch):
    probs, labels = (maps[0] * 10).round() / 10, maps[1]
    steps = STEPS[torch.randperm(len(STEPS), generator=torch.Generator().manual_seed(0))]
    monkeypatch.setattr("monai_coat.functional.expected_gap.BLOCK", 7)
    inside = probs[..., None] >= steps
    hits, sizes = ((each.flatten(1, -2).sum(1)) for each in (inside & labels[..., None], inside))
    expected = torch.where(sizes > 0, hits / sizes, 1.0)
    assert torch.equal(precision_curves(probs, labels, steps)[:, 0], expected)


def curves_of(maps, alpha):
    probs, labels = (each[torch.arange(30) != 7] for each in maps)
    coverage = coverage_curves(foreground_sketch(probs, labels, 64), STEPS)[:, 0]
    return torch.stack([coverage_gap(coverage, alpha), coverage, precision_curves(probs, labels, STEPS)[:, 0]], 1)


def chosen_mean(curves, prices, curve):
    steps = least_expected_gap(curves[:, :, None], torch.tensor([[prices.coverage], [prices.precision]]))
    return float(curves[:, curve].gather(1, steps).mean())


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.4])
def test_the_price_on_coverage_brings_the_mean_to_its_target(maps, alpha):
    curves = curves_of(maps, alpha)
    prices = gap_prices(curves, curves, alpha, None)
    largest_step = float((curves[:, 1, :-1] - curves[:, 1, 1:]).max()) / len(curves)
    assert prices.precision == 0
    assert abs(chosen_mean(curves, prices, 1) - (1 - alpha)) <= 3 * largest_step


def test_the_price_on_precision_buys_what_is_wanted_and_costs_gap(maps):
    curves = curves_of(maps, 0.2)
    free = gap_prices(curves, curves, 0.2, None)
    wanted = chosen_mean(curves, free, 2) + 0.01
    bought = gap_prices(curves, curves, 0.2, wanted)
    assert bought.precision > 0
    assert chosen_mean(curves, bought, 2) >= wanted
    assert chosen_mean(curves, bought, 0) >= chosen_mean(curves, free, 0)


def test_known_curves_choose_the_ideal_threshold(maps):
    # Without prices, and with the truth for an expectation, the gap is as small as the ladder allows.
    curves = curves_of(maps, 0.2)
    steps = least_expected_gap(curves[:, :, None], torch.zeros(2, 1))[:, 0]
    assert torch.equal(curves[:, 0].gather(1, steps[:, None])[:, 0], curves[:, 0].min(1).values)


def test_precision_of_one_threshold_by_hand():
    # Mean coverage falls from 1 over 0.9 to 0.5: at 0.7, half way down, the precision is half way between 0.4 and 0.8.
    coverage, precisions = torch.tensor([[1.0, 0.9, 0.5]]), torch.tensor([[0.1, 0.4, 0.8]])
    curves = torch.stack([coverage, coverage, precisions], 1)
    assert precision_of_one_threshold(curves, alpha=0.3) == pytest.approx(0.6)


def test_thresholds_must_be_a_list():
    with pytest.raises(ValueError, match=r"thresholds must have one dimension, got shape \(1, 2\)"):
        coverage_curves(torch.rand(3, 4), torch.rand(1, 2))


def test_frames_of_one_group_count_as_one_observation():
    coverage = torch.rand(12, 7).sort(1, descending=True).values
    curves = torch.stack([(coverage - 0.8).abs(), coverage, 1 - coverage / 2], 1)
    prices = GapPrices(0.0, 0.0)
    saved, error = saved_gap(curves, curves, 0.2, prices)
    groups = torch.arange(12).repeat_interleave(4)
    frames = curves.repeat_interleave(4, 0)
    assert saved_gap(frames, frames, 0.2, prices, groups) == pytest.approx((saved, error), rel=1e-5)
    assert saved_gap(frames, frames, 0.2, prices)[1] < 0.6 * error
