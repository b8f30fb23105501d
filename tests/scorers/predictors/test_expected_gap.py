# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Thresholds of minimum expected gap."""

from __future__ import annotations

import pytest
import torch

from monai_coat.functional import foreground_sketch, ideal_threshold, precision, true_positive_rate
from monai_coat.networks import load_weights, save_weights
from monai_coat.scorers import ExpectedGapPredictor, MarginScorer


@pytest.fixture
def fitted(blobs):
    return ExpectedGapPredictor(members=3, width=16).fit(*blobs[1:], alpha=0.2)


def gap_and_precision(probs, labels, thresholds):
    coverage = true_positive_rate(probs - thresholds[..., None, None], labels, 0.0)
    return float((coverage - 0.8).abs().mean()), float(
        precision(probs - thresholds[..., None, None], labels, 0.0).mean()
    )


def test_the_gap_is_smaller_than_that_of_one_threshold_at_the_same_mean_coverage(fitted, blobs):
    image, probs, labels = blobs
    thresholds = fitted(image, probs)
    coverage = float(true_positive_rate(probs - thresholds[..., None, None], labels, 0.0).mean())
    assert coverage == pytest.approx(0.8, abs=0.05)
    grid = torch.linspace(0.01, 0.99, 99)
    means = torch.tensor([float(true_positive_rate(probs, labels, float(t)).mean()) for t in grid])
    one = torch.full_like(thresholds, float(grid[(means - coverage).abs().argmin()]))
    assert gap_and_precision(probs, labels, thresholds)[0] < 0.9 * gap_and_precision(probs, labels, one)[0]


def test_prices_are_zero_on_precision_only_when_nothing_is_asked(blobs):
    free = ExpectedGapPredictor(members=3, width=16, keep_precision=False).fit(*blobs[1:], alpha=0.2)
    assert float(free.prices[1]) == 0


def test_observed_curves_are_those_of_the_ladder(fitted, blobs):
    _, probs, labels = blobs
    gap, coverage, _ = fitted.observe(probs, labels, 0.2)[:, :, 0].unbind(1)
    assert (coverage[:, 0] == 1).all()
    torch.testing.assert_close(gap, (coverage - 0.8).abs())
    # The last step with coverage 0.8 is next to the ideal threshold, up to the sketch.
    step = (coverage >= 0.8).sum(1) - 1
    ladder = torch.sigmoid(fitted.ladder)
    ideal = ideal_threshold(probs, labels, 0.2)[:, 0]
    assert ((ladder[(step - 1).clamp(min=0)] <= ideal) & (ideal <= ladder[step + 2])).float().mean() > 0.9


def test_the_same_seed_gives_the_same_thresholds_and_leaves_the_generator_alone(fitted, blobs):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    again = ExpectedGapPredictor(members=3, width=16)
    torch.set_rng_state(before)
    again.fit(*blobs[1:], alpha=0.2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(again(*blobs[:2]), fitted(*blobs[:2]))


def test_images_without_foreground_are_left_out(blobs):
    image, probs, labels = blobs
    labels = labels.clone()
    labels[:20] = False
    predictor = ExpectedGapPredictor(members=3, width=16).fit(probs, labels, alpha=0.2)
    assert torch.isfinite(predictor(image, probs)).all()
    assert torch.isnan(foreground_sketch(probs, labels)[:20]).all()


def test_two_classes_have_thresholds_of_their_own(blobs):
    image, probs, labels = blobs
    both = torch.cat([probs, probs**4], 1)
    predictor = ExpectedGapPredictor(2, members=3, width=16).fit(both, labels.repeat(1, 2, 1, 1), alpha=0.2)
    thresholds = predictor(image, both)
    assert thresholds.shape == (60, 2)
    assert float(thresholds[:, 1].mean()) < float(thresholds[:, 0].mean())


def test_the_promise_holds_on_images_that_were_not_learned_from(blobs, promise):
    image, probs, labels = blobs
    predictor = ExpectedGapPredictor(members=2, width=8).fit(probs[:30], labels[:30], alpha=0.2)
    assert promise(MarginScorer(predictor, "logit")(image[30:], probs[30:]), labels[30:]) <= 0.2 + 1e-12


def test_it_travels_with_the_weights_can_be_scripted_and_refuses_before(fitted, blobs, tmp_path):
    save_weights(fitted, tmp_path / "predictor.pt")
    other = ExpectedGapPredictor(members=3, width=16)
    with pytest.raises(RuntimeError, match="predictor must be fitted before it is used"):
        other(*blobs[:2])
    assert torch.equal(load_weights(other, tmp_path / "predictor.pt").eval()(*blobs[:2]), fitted(*blobs[:2]))
    scorer = MarginScorer(fitted, "logit")
    torch.testing.assert_close(torch.jit.script(scorer)(*blobs[:2]), scorer(*blobs[:2]))


def test_batches_are_fitted_as_one(fitted, blobs):
    _, probs, labels = blobs
    batches = ((p, y) for p, y in zip(probs.split(7), labels.split(7), strict=True))
    again = ExpectedGapPredictor(members=3, width=16).fit_batches(batches, alpha=0.2)
    torch.testing.assert_close(again.curves(again.summaries(probs)), fitted.curves(fitted.summaries(probs)))
    with pytest.raises(ValueError, match="batches must hold at least one batch of maps, got none"):
        again.fit_batches([], alpha=0.2)


def test_it_is_fitted_alike_with_and_without_gradients(fitted, blobs):
    _, probs, labels = blobs
    scale = torch.ones((), requires_grad=True)
    with_graph = ExpectedGapPredictor(members=3, width=16).fit(probs * scale, labels, alpha=0.2)
    with torch.no_grad():
        without = ExpectedGapPredictor(members=3, width=16).fit(probs, labels, alpha=0.2)
    for again in (with_graph, without):
        assert all(
            torch.equal(a, b) for a, b in zip(again.state_dict().values(), fitted.state_dict().values(), strict=True)
        )
    assert scale.grad is None


def test_bad_arguments_are_named(blobs):
    with pytest.raises(ValueError, match="members must be at least 2, got 1"):
        ExpectedGapPredictor(members=1)
    with pytest.raises(ValueError, match="at least 10 images, twice the members, got 9"):
        ExpectedGapPredictor().fit(blobs[1][:9], blobs[2][:9], alpha=0.2)
