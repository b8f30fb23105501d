# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Prices on coverage: by hand, by trying prices, and nested sets."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.functional import price_levels, price_scores

PRICES = torch.linspace(-30, 30, 401, dtype=torch.float64)


def curves_of(seed, steps=12):
    generator = torch.Generator().manual_seed(seed)
    coverage = torch.rand(2, 1, steps, generator=generator).sort(descending=True).values
    return torch.rand(2, 1, steps, generator=generator), coverage


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_levels_say_which_threshold_is_the_best_at_any_price(seed):
    cost, coverage = curves_of(seed)
    levels = price_levels(cost, coverage)
    assert (levels.diff(dim=-1) >= 0).all()
    falling = coverage.double() - 1e-3 * torch.linspace(0, 1, 12, dtype=torch.float64)
    for price in PRICES:
        best = (cost.double() + price * falling).argmin(-1)
        found = (levels < price - 1e-4).sum(-1)
        still = (levels < price + 1e-4).sum(-1)
        assert ((found <= best) & (best <= still)).all()


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_a_cut_by_price_is_the_cut_at_the_best_threshold(seed):
    cost, coverage = curves_of(seed)
    ladder = torch.cat([torch.tensor([-50.0]), torch.linspace(-3, 3, 11)])[None]
    scores = torch.randn(2, 1, 40, generator=torch.Generator().manual_seed(seed + 1))
    priced = price_scores(scores, ladder, price_levels(cost, coverage))
    falling = coverage.double() - 1e-3 * torch.linspace(0, 1, 12, dtype=torch.float64)
    for price in PRICES[::7]:
        total = (cost.double() + price * falling).sort(-1)
        if ((total.values[..., 1] - total.values[..., 0]) < 0.02).any():
            continue  # between two prices the order of pixels decides
        threshold = ladder[0][total.indices[..., 0]]
        assert torch.equal(priced >= price, scores >= threshold[..., None])


@given(seed=st.integers(0, 10_000))
def test_the_order_of_pixels_is_kept(seed):
    cost, coverage = curves_of(seed)
    ladder = torch.linspace(-3, 3, 12)[None]
    scores = 8 * torch.randn(2, 1, 200, generator=torch.Generator().manual_seed(seed))
    priced = price_scores(scores, ladder, price_levels(cost, coverage))
    order = scores.argsort(-1)
    assert (priced.gather(-1, order).diff(dim=-1) >= 0).all()
    assert priced.isfinite().all()


def test_a_class_has_its_own_ladder_and_a_large_map_is_done_in_blocks(monkeypatch):
    cost, coverage = (curve.reshape(1, 2, 12) for curve in curves_of(0))
    ladder = torch.stack([torch.linspace(-3, 3, 12), torch.linspace(0, 9, 12)])
    scores = torch.randn(1, 2, 6, 7)
    levels = price_levels(cost, coverage)
    whole = price_scores(scores, ladder, levels)
    alone = [price_scores(scores[:, k : k + 1], ladder[k : k + 1], levels[:, k : k + 1]) for k in (0, 1)]
    assert torch.equal(whole, torch.cat(alone, 1))
    monkeypatch.setattr("monai_coat.functional.coverage_prices.BLOCK", 10)
    assert torch.equal(price_scores(scores, ladder, levels), whole)


@pytest.mark.parametrize("flat", [0.0, 0.5])
def test_curves_without_a_corner_have_prices_all_the_same(flat):
    levels = price_levels(torch.full((1, 1, 5), flat), torch.ones(1, 1, 5))
    assert levels.isfinite().all()
