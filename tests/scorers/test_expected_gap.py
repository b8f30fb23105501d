# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The scorer of MEG's second edition: what it adapts to, when it does not, and that the guarantee is untouched."""

from __future__ import annotations

import copy

import pytest
import torch

from monai_coat.calibration import FalseNegativeRate, calibrate_maps, identity_of
from monai_coat.functional import coverage_gap, placed_logits, true_positive_rate
from monai_coat.networks import load_weights, save_weights
from monai_coat.scorers import (
    ExpectedGapScorer,
    FittedMethod,
    SketchedMaps,
    ThresholdObjective,
    method_of,
    scorer_of_config,
)
from monai_coat.scorers.fitting.observed_curves import objective_on

ALPHA = 0.2


def generated(seed, count, hardness=2.0, side=24, classes=1):
    """A disc in each image, seen too small, the smaller the harder the image; and how unsure the map is tells it."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.linspace(-1, 1, side)
    distance = (axis[:, None] ** 2 + axis**2).sqrt()
    hard = hardness * torch.rand(count, classes, 1, 1, generator=generator)
    noise = 0.3 * torch.randn(count, classes, side, side, generator=generator)
    probs = torch.sigmoid((8 - 2.5 * hard) * (0.6 - 0.15 * hard - distance) + noise * hard / max(hardness, 1))
    return (probs * 255).round() / 255, (distance < 0.6).expand(count, classes, side, side)


@pytest.fixture(scope="module")
def fitted():
    return ExpectedGapScorer().fit(*generated(0, 80), ALPHA)


def gaps(score, seed=7):
    """Mean coverage gap of new images after calibrating on others."""
    (probs, labels), (new, truth) = generated(seed, 60), generated(seed + 1, 60)
    cutoff = calibrate_maps(list(score(probs)), list(labels), alpha=ALPHA).cutoff[0]
    coverage = true_positive_rate(score(new), truth, cutoff)
    return float(coverage_gap(coverage, ALPHA).mean())


def test_the_gap_is_smaller_than_with_one_threshold(fitted):
    assert bool(fitted.pays)
    assert gaps(lambda probs: fitted(probs, probs)) < 0.6 * gaps(placed_logits)


def test_where_images_are_alike_it_does_not_pay_and_scores_are_log_odds():
    probs, labels = generated(0, 60, hardness=0.0)
    scorer = ExpectedGapScorer().fit(probs, labels, ALPHA)
    assert not bool(scorer.pays)
    assert torch.equal(scorer(probs, probs), placed_logits(probs))
    assert scorer.is_like(generated(5, 4)[0]).all()  # all have that one threshold, like or not


def test_scores_keep_the_order_of_log_odds_within_an_image(fitted):
    probs, _ = generated(3, 5)
    placed, scores = placed_logits(probs).flatten(1), fitted(probs, probs).flatten(1)
    assert (scores.gather(1, placed.argsort(1)).diff(dim=1) >= 0).all()
    assert scores.isfinite().all()


def test_it_draws_nothing_and_an_image_is_scored_as_in_any_batch(fitted):
    again = ExpectedGapScorer().fit(*generated(0, 80), ALPHA)
    for one, other in zip(fitted.buffers(), again.buffers(), strict=True):
        assert torch.equal(one.nan_to_num(), other.nan_to_num())
    probs, _ = generated(3, 5)
    assert torch.equal(fitted(probs[:1], probs[:1]), fitted(probs, probs)[:1])


def test_another_level_needs_no_other_fit(fitted):
    other = copy.deepcopy(fitted).set_level(0.1)
    direct = ExpectedGapScorer().fit(*generated(0, 80), 0.1)
    assert torch.equal(other.weights, direct.weights)
    assert not torch.equal(other.weights, fitted.weights)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.3])
def test_the_guarantee_holds_when_each_image_is_left_out_in_turn(fitted, alpha):
    probs, labels = generated(11, 30)
    scores = fitted(probs, probs)
    risks = []
    for place in range(30):
        others = [index for index in range(30) if index != place]
        cutoff = calibrate_maps([scores[i] for i in others], [labels[i] for i in others], alpha=alpha).cutoff[0]
        risks.append(float(FalseNegativeRate().image_risk(scores[place, None], labels[place, None], cutoff)))
    assert sum(risks) / 30 <= alpha


def test_classes_adapt_each_for_itself():
    probs, labels = generated(0, 60, classes=2)
    flat, _ = generated(0, 60, hardness=0.0, classes=2)
    probs[:, 1] = flat[:, 1]
    labels = labels.clone()
    labels[::3, 0] = False
    scorer = ExpectedGapScorer(num_classes=2).fit(probs, labels, ALPHA)
    assert scorer.pays.tolist() == [True, False]
    assert torch.equal(scorer(probs, probs)[:, 1], placed_logits(probs)[:, 1])


def repeated(count=14, times=6):
    """Few images of many frames each, whose ideal threshold nothing in the map tells but that it was seen before."""
    generator = torch.Generator().manual_seed(1)
    probs = torch.rand(count, 1, 16, 16, generator=generator) ** torch.linspace(0.5, 3, count).reshape(-1, 1, 1, 1)
    order = torch.randperm(count, generator=generator)
    labels = probs > probs.flatten(1).quantile(0.2 + 0.7 * order / count, dim=1).diagonal().reshape(-1, 1, 1, 1)
    groups = [f"video {index}" for index in range(count) for _ in range(times)]
    return probs.repeat_interleave(times, 0), labels.repeat_interleave(times, 0), groups


def test_frames_of_one_video_are_left_out_together():
    probs, labels, groups = repeated()
    assert bool(ExpectedGapScorer().fit(probs, labels, ALPHA).pays)
    scorer = ExpectedGapScorer().fit(probs, labels, ALPHA, groups)
    assert not bool(scorer.pays)
    assert not bool(copy.deepcopy(scorer).set_level(0.1).pays)  # which remembers them
    sketched = SketchedMaps.collect(zip(probs, labels, strict=True), groups)
    assert not bool(method_of("meg2").fit(sketched, ALPHA, 0).scorer.pays)
    assert sketched.rows([0, 83]).groups == ("video 0", "video 13")


def test_groups_must_name_one_for_each_image():
    with pytest.raises(ValueError, match="groups must name one for each image, got 3 for 40 images; name them all"):
        ExpectedGapScorer().fit(*generated(0, 40), ALPHA, groups=["a", "b", "c"])
    with pytest.raises(ValueError, match="groups must name one for each of 2 images, got 1; name them all"):
        SketchedMaps.collect(zip(*generated(0, 2), strict=True), ["a"])


def precision(scorer, seed=7):
    (probs, labels), (new, truth) = generated(seed, 60), generated(seed + 1, 60)
    cutoff = calibrate_maps(list(scorer(probs, probs)), list(labels), alpha=ALPHA).cutoff[0]
    inside = scorer(new, new) >= cutoff
    return float(((inside & truth).sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp(min=1)).mean())


def test_precision_can_be_asked_for():
    least, most = (ExpectedGapScorer(precision=value).fit(*generated(0, 80), ALPHA) for value in (0.0, 1.0))
    assert 1 - precision(most) < 0.95 * (1 - precision(least))
    with pytest.raises(ValueError, match=r"precision must be in \[0, 1\], got 1.5"):
        ExpectedGapScorer(precision=1.5)


def test_a_map_cut_below_its_foreground_is_not_called_precise():
    probs = torch.full((1, 1, 8, 8), 0.2)
    probs[..., 0, :4] = 0.9
    label = probs > 0.5
    points, shares = ExpectedGapScorer.observe(probs, label)[0, 0]
    assert shares[points >= 0].tolist() == [1.0] * int((points >= 0).sum())
    assert shares[0] == 4 / 64  # the whole image


def foreign(seed, count):
    """Stripes in place of discs, of which a quarter is foreground: another domain."""
    generator = torch.Generator().manual_seed(seed)
    stripes = ((torch.arange(24) // 2 % 2)[:, None] * torch.ones(24, 24)).expand(count, 1, 24, 24)
    noise = 0.25 * torch.rand(count, 1, 24, 24, generator=generator)
    probs = 0.35 + 0.3 * stripes * torch.rand(count, 1, 1, 1, generator=generator) + noise
    return probs, torch.rand(probs.shape, generator=generator) < probs * stripes


def test_images_of_another_domain_have_one_threshold_and_the_promise_holds(fitted):
    probs, labels = foreign(0, 60)
    assert not fitted.is_like(probs).any()
    assert fitted.is_like(generated(5, 60)[0]).float().mean() > 0.9
    cutoffs = [
        calibrate_maps(list(scores), list(labels), alpha=ALPHA).cutoff[0]
        for scores in (fitted(probs, probs), placed_logits(probs))
    ]
    new, truth = foreign(1, 60)
    sets = [scores >= cutoff for scores, cutoff in zip((fitted(new, new), placed_logits(new)), cutoffs, strict=True)]
    assert (sets[0] == sets[1]).float().mean() > 0.999
    assert float((truth & ~sets[0]).sum((1, 2, 3)).div(truth.sum((1, 2, 3))).mean()) < ALPHA + 0.02


def test_the_loss_of_coat_can_be_made_small_in_place_of_the_gap(fitted):
    scorer = ExpectedGapScorer(objective=ThresholdObjective.SOFT_TPR).fit(*generated(0, 80), ALPHA)
    assert bool(scorer.pays)
    assert not torch.equal(scorer.weights, fitted.weights)
    assert gaps(lambda probs: scorer(probs, probs)) < 0.6 * gaps(placed_logits)
    made = method_of("coat2").fit(SketchedMaps.collect(zip(*generated(0, 80), strict=True)), ALPHA, 0)
    assert scorer_of_config(made.config).objective == "soft_tpr"
    with pytest.raises(ValueError, match="'best'"):
        ExpectedGapScorer(objective="best")


def test_objectives_by_hand():
    observed = torch.stack([torch.cat([torch.full((64,), -9.0), torch.arange(256.0)]), torch.ones(320)])[None]
    ladder = torch.tensor([-1.0, 64.0, 300.0])
    assert torch.allclose(objective_on(observed, ladder, 0.25, "coverage_gap"), torch.tensor([[0.25, 0.0, 0.75]]))
    soft = torch.sigmoid((torch.arange(256.0) - 64) / 64).mean()  # half the spread of 128
    assert torch.allclose(objective_on(observed, ladder, 0.25, "soft_tpr")[0, 1], (soft - 0.75) ** 2, atol=1e-4)


def test_a_rare_class_is_not_adapted():
    probs, labels = generated(0, 60, classes=2)
    labels = labels.clone()
    labels[9:, 1] = False
    assert ExpectedGapScorer(num_classes=2).fit(probs, labels, ALPHA).pays.tolist() == [True, False]


def test_volumes_and_maps_of_several_sizes():
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for number in range(24):
        probs = torch.rand(1, 1, 6, 7, 5 + number % 3, generator=generator) ** (1 + number % 4)
        pairs.append((probs, torch.rand(probs.shape, generator=generator) < probs))
    scorer = ExpectedGapScorer().fit_batches(pairs, ALPHA)
    assert scorer(*[pairs[0][0]] * 2).shape == pairs[0][0].shape


def test_it_is_made_again_from_its_description():
    sketched = SketchedMaps.collect(zip(*generated(0, 40), strict=True))
    made: FittedMethod = method_of("meg2").fit(sketched, ALPHA, 0)
    again = scorer_of_config(made.config)
    again.load_state_dict(made.scorer.state_dict())
    probs, _ = generated(5, 3)
    assert torch.equal(again(probs, probs), made.scorer(probs, probs))


def test_many_images_are_thinned_out(monkeypatch):
    monkeypatch.setattr("monai_coat.scorers.expected_gap.MOST", 25)
    scorer = ExpectedGapScorer().fit(*generated(0, 60), ALPHA)
    assert int((~scorer.observed[:, 0, 0, 0].isnan()).sum()) == 25


def test_weights_of_any_fit_can_be_loaded(fitted, tmp_path):
    save_weights(fitted, tmp_path / "scorer.pt")
    other = ExpectedGapScorer().fit(*generated(1, 20), ALPHA)
    for scorer in (ExpectedGapScorer(), other):
        probs, _ = generated(3, 2)
        assert torch.equal(load_weights(scorer, tmp_path / "scorer.pt")(probs, probs), fitted(probs, probs))


def test_a_second_fit_forgets_the_first(fitted):
    again = copy.deepcopy(fitted).fit(*generated(1, 20), ALPHA)
    once = ExpectedGapScorer().fit(*generated(1, 20), ALPHA)
    assert identity_of(again) == identity_of(once)
    probs, _ = generated(3, 2)
    assert torch.equal(again(probs, probs), once(probs, probs))


def test_torchscript_scores_alike(fitted):
    probs, _ = generated(3, 4)
    assert torch.equal(torch.jit.script(fitted)(probs, probs), fitted(probs, probs))


def test_torch_export_scores_alike(fitted):
    probs, _ = generated(3, 2)
    exported = torch.export.export(fitted, (probs, probs)).module()
    assert torch.allclose(exported(probs, probs), fitted(probs, probs), atol=1e-4)


def test_too_few_images_are_refused_and_so_is_a_scorer_that_is_not_fitted():
    with pytest.raises(ValueError, match="summaries must be of at least 10 images, got 9; add images"):
        ExpectedGapScorer().fit(*generated(0, 9), ALPHA)
    with pytest.raises(ValueError, match="batches must hold at least one batch of maps, got none"):
        ExpectedGapScorer().fit_batches([], ALPHA)
    with pytest.raises(RuntimeError, match="scorer must be fitted before it is used"):
        ExpectedGapScorer()(*[torch.rand(1, 1, 4, 4)] * 2)
