# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Images that serve for learning and calibration: the promise in rational numbers, and with a scorer that overfits."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
import torch

from monai_coat.calibration import (
    ConfidentRisk,
    CoverageStatistic,
    CrossRisk,
    Exceeds,
    ExpectedRisk,
    FalseDiscoveryRate,
    FalseNegativeRate,
    FalsePositiveRatio,
    LesionsMissed,
    PerGroup,
    PerPatient,
    Referring,
    Weighted,
    WorstClassFalseNegativeRate,
    calibrate_maps,
    guarantee_named,
    load_calibration,
    promise_in_words,
    save_calibration,
)
from monai_coat.functional import exact_level
from monai_coat.scorers import FoldedScorer, MarginScorer

FNR = FalseNegativeRate()


def test_the_budget_by_hand():
    # 20 images in 5 folds of 4: 0.3 * 24 - 4 = 3.2; in 20 folds of 1: 0.3 * 21 - 1, as of images that none has seen.
    assert CrossRisk(FNR, 0.3, 5).budget(20) == Fraction("3.2")
    assert CrossRisk(FNR, 0.3, 20).budget(20) == ExpectedRisk(FNR, 0.3).budget(20) == Fraction("5.3")
    # 12 of them count for a class, and folds are as before: 0.3 * 16 - 4.
    assert CrossRisk(FNR, 0.3, 5).budget_of(12, 20) == Fraction("0.8")


def test_the_cutoff_by_hand():
    # Ten images of one pixel, scores 1 to 10, in 5 folds of 2: of 0.4 * 12 - 2 = 2.8 two may be lost.
    scores, masks = [torch.tensor([[float(k)]]) for k in range(1, 11)], [torch.ones(1, 1)] * 10
    result = calibrate_maps(scores, masks, guarantee=CrossRisk(FNR, 0.4, 5))
    assert (result.cutoff, result.risk, result.n) == ((3.0,), (0.2,), (10,))
    # Two more in which there is nothing, in 4 folds of 3: 0.4 * 13 - 3 = 2.2.
    blank = calibrate_maps([*scores, *scores[:2]], [*masks, *[torch.zeros(1, 1)] * 2], guarantee=CrossRisk(FNR, 0.4, 4))
    assert (blank.cutoff, blank.n, blank.n_empty) == ((3.0,), (10,), (2,))
    # In 2 more, of folds of 3 with 12 that count, 0.4 * 15 - 3 = 3 are lost.
    assert calibrate_maps([*scores, *scores[8:]], [*masks, *masks[:2]], guarantee=CrossRisk(FNR, 0.4, 4)).cutoff == (
        4.0,
    )


def partitions(items, folds, size):
    """All ways to put items into numbered folds of one size."""
    if not folds:
        yield []
        return
    for first in itertools.combinations(items, size):
        rest = [item for item in items if item not in first]
        for others in partitions(rest, folds - 1, size):
            yield [first, *others]


class Tables:
    """Scorers that learn anything: for each set of images that is learned from, other scores of each image.

    Sets side by side are classes, each calibrated alone. An image lacks some of them.
    """

    def __init__(self, seed, images, classes=24, pixels=3, levels=5, seen_is_better=False):
        self.generator, self.shape, self.levels = torch.Generator().manual_seed(seed), (classes, pixels), levels
        self.difficulty = torch.randint(0, levels, (images, classes, 1), generator=self.generator)
        self.labels = (torch.rand(images, classes, 1, generator=self.generator) < 0.8).expand(-1, -1, pixels)
        self.known, self.seen_is_better = {}, seen_is_better

    def scores(self, learned, image):
        key = frozenset(learned), image
        if key not in self.known:
            noise = torch.randint(0, self.levels, self.shape, generator=self.generator)
            gain = 2 * self.levels if self.seen_is_better and image in key[0] else 0
            self.known[key] = (self.difficulty[image] + noise + gain).float()
        return self.known[key]


def roles(folds, size):
    """All roles that images can have: the new one, and those in each fold; the others are seen by nobody."""
    images = range((folds + 1) * size)
    for new in images:
        for used in itertools.combinations([image for image in images if image != new], folds * size):
            for parts in partitions(used, folds, size):
                # Which fold comes first is no matter; once is enough.
                if [part[0] for part in parts] == sorted(part[0] for part in parts):
                    yield new, used, parts


def missed_by_the_new(tables, guarantee, new, learned):
    """Pixels of the new image that are missed in each class, by what was learned for each image."""
    statistic = CoverageStatistic()
    for image, without in learned.items():
        statistic.update(tables.scores(without, image)[None], tables.labels[image][None])
    cutoff = torch.tensor(guarantee.calibrate(statistic).cutoff)
    union = torch.stack([tables.scores(source, new) for source in {*learned.values()}]).amax(0)
    return (union < cutoff[:, None]).sum(1).tolist()


def excess(tables, guarantee, folds, size, out_of_fold=True):
    """What the new image loses, less alpha, summed over all roles that images can have; exact, per class."""
    total = [Fraction(0)] * tables.shape[0]
    for new, used, parts in roles(folds, size):
        learned = {i: tuple(j for j in used if j not in part) if out_of_fold else used for part in parts for i in part}
        missed = missed_by_the_new(tables, guarantee, new, learned)
        for place, marked in enumerate(tables.labels[new, :, 0].tolist()):
            total[place] += marked * (Fraction(missed[place], tables.shape[1]) - exact_level(guarantee.alpha))
    return total


@pytest.mark.parametrize(("folds", "size", "alpha"), [(2, 1, 0.5), (3, 1, 0.3), (4, 1, 0.3), (2, 2, 0.4), (2, 2, 0.6)])
@pytest.mark.parametrize("seed", range(2))
def test_the_new_image_loses_on_average_at_most_alpha_whatever_is_learned(folds, size, alpha, seed):
    """Every image in every role: as new image, as one that nobody sees, and in each fold."""
    tables = Tables(seed, (folds + 1) * size)
    assert max(excess(tables, CrossRisk(FNR, alpha, folds), folds, size)) <= 0


def test_calibrated_on_what_was_learned_from_it_loses_more():
    tables = Tables(0, 5, seen_is_better=True)
    assert max(excess(tables, CrossRisk(FNR, 0.3, 4), 4, 1)) <= 0
    assert sum(excess(tables, ExpectedRisk(FNR, 0.3), 4, 1, out_of_fold=False)) > 0


class Fitted(torch.nn.Module):
    """Thresholds that are linear in features of no meaning: with more of these than images, they fit any images."""

    def __init__(self, features, wanted):
        super().__init__()
        self.mean = wanted.mean()
        self.weights = torch.linalg.pinv(features) @ (wanted - self.mean)

    def forward(self, image, probs):
        return (self.mean + image[:, :, 0] @ self.weights)[:, None]


def drawn(count, generator):
    """Features of images, foreground scores about a level of each image, and that level."""
    features = torch.randn(count, 60, 1, generator=generator, dtype=torch.float64)
    level = torch.rand(count, generator=generator, dtype=torch.float64)
    return features, level[:, None, None] + 0.02 * torch.randn(count, 1, 12, generator=generator).double(), level


def one_study(n, folds, alpha, generator):
    """Mean risk of new images: by folds, and by calibrating on the images that were learned from."""
    features, probs, level = drawn(n, generator)
    new_features, new_probs, _ = drawn(40, generator)
    labels, size = torch.ones(n, 1, 12), n // folds
    held_out, scorers = [], []
    for first in range(0, n, size):
        kept = [place for place in range(n) if not first <= place < first + size]
        scorers.append(MarginScorer(Fitted(features[kept, :, 0], level[kept])))
        held_out.append(scorers[-1](features[first : first + size], probs[first : first + size]))
    cross, naive = CrossRisk(FNR, alpha, folds), ExpectedRisk(FNR, alpha)
    in_sample = MarginScorer(Fitted(features[:, :, 0], level))
    risks = []
    for guarantee, scorer, scores in (
        (cross, FoldedScorer(scorers), torch.cat(held_out)),
        (naive, in_sample, in_sample(features, probs)),
    ):
        statistic = guarantee.statistic()
        statistic.update(scores, labels)
        cutoff = guarantee.calibrate(statistic).cutoff[0]
        risks.append(float(FNR.image_risk(scorer(new_features, new_probs), torch.ones(40, 1, 12), cutoff).mean()))
    return risks


@pytest.mark.parametrize(("n", "folds"), [(20, 5), (20, 10), (40, 8)])
@pytest.mark.parametrize("studies", [300, pytest.param(3000, marks=pytest.mark.slow)])
def test_a_scorer_that_overfits_keeps_the_promise_by_folds_and_breaks_it_otherwise(n, folds, studies):
    """Means of independent numbers in [0, 1]: by Hoeffding, a bound that fails once in a million such tests."""
    alpha, generator = 0.3, torch.Generator().manual_seed(n + folds)
    risks = [one_study(n, folds, alpha, generator) for _ in range(studies)]
    by_folds, naive = (math.fsum(column) / studies for column in zip(*risks, strict=True))
    chance = math.sqrt(math.log(1e6) / (2 * studies))
    assert by_folds <= alpha + chance
    assert by_folds <= alpha  # the union is careful: far below what chance would have to explain
    assert naive > alpha + chance


def test_folds_of_two_sizes_are_refused():
    guarantee = CrossRisk(FNR, 0.4, 5)
    statistic = guarantee.statistic()
    statistic.update(torch.rand(12, 1, 4), torch.ones(12, 1, 4))
    with pytest.raises(
        ValueError, match="must be in 5 folds of one size, got 12; let all scorers learn from 2 of them"
    ):
        guarantee.calibrate(statistic)
    assert CrossRisk(FNR, 0.4, 6).calibrate(statistic).n == CrossRisk(FNR, 0.4, 13).calibrate(statistic).n == (12,)


def test_too_few_folds_or_images_are_refused():
    for alpha, folds, least in ((0.1, 8, 9), (0.05, 18, 19), (0.3, 2, 3)):
        with pytest.raises(ValueError, match=f"folds must be at least {least} with alpha={alpha}, got {folds}"):
            CrossRisk(FNR, alpha, folds)
        assert CrossRisk(FNR, alpha, least).images_needed == math.ceil(1 / Fraction(str(alpha)) - 1)
    for folds, error in ((1, ValueError), (0, ValueError), (2.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="folds must be"):
            CrossRisk(FNR, 0.4, folds)
    guarantee = CrossRisk(FNR, 0.3, 5)
    statistic = guarantee.statistic()
    statistic.update(torch.rand(20, 1, 4), (torch.arange(20) < 9)[:, None, None].expand(20, 1, 4))
    with pytest.raises(ValueError, match=r"alpha=0\.3 needs more calibration images with foreground than 9 of 20 in 5"):
        guarantee.calibrate(statistic)


def test_a_class_with_too_few_images_gets_no_promise():
    guarantee = CrossRisk(FNR, 0.3, 5, ("liver", "tumour"))
    labels = torch.ones(20, 2, 4)
    labels[9:, 1] = 0
    statistic = guarantee.statistic()
    statistic.update(torch.rand(20, 2, 4), labels)
    result = guarantee.calibrate(statistic)
    assert (result.promised, result.n) == ((True, False), (20, 9))
    assert result.guarantee.endswith(
        "no promise about 'tumour', whose set is everything: 9 images with foreground are too few for 5 folds"
    )


@pytest.mark.parametrize("risk", [FalsePositiveRatio(), FalseDiscoveryRate(), Exceeds(FalsePositiveRatio(), 0.2)])
def test_what_a_union_would_lose_more_of_is_refused(risk):
    with pytest.raises(TypeError, match="risk must rise with the cutoff, so that a union of sets loses no more"):
        CrossRisk(risk, 0.4, 5)


@pytest.mark.parametrize("make", [PerGroup, PerPatient, Weighted, lambda inner: Referring(inner, 0.2)])
def test_it_is_no_promise_of_parts(make):
    """Folds of one size are so among all images, and not among those of a group."""
    with pytest.raises(TypeError, match="guarantee must be"):
        make(CrossRisk(FNR, 0.4, 5))


@pytest.mark.parametrize("risk", [FNR, LesionsMissed(), WorstClassFalseNegativeRate(), Exceeds(FNR, 0.2)])
def test_words_and_artifact(tmp_path, risk):
    guarantee = CrossRisk(risk, 0.4, 4)
    statistic = guarantee.statistic()
    statistic.update(torch.rand(20, 2, 9), torch.ones(20, 2, 9))
    result = guarantee.calibrate(statistic)
    assert (result.kind, dict(result.settings)) == ("cross_risk", {"folds": 4})
    assert result.guarantee == (
        f"{risk.expected_words} <= 0.4 on average over new images with foreground, drawn as the n used were, by the "
        "union of the sets of 4 scorers, each fitted without one fold of these"
    )
    words = promise_in_words(result)
    assert risk.phrase in words
    assert words.endswith(
        "This holds for the union of the sets of all 4 scorers, of images that are drawn as the calibration's were, "
        "and is not a promise about any single image, nor about images from elsewhere."
    )
    save_calibration(result, tmp_path / "c.json")
    assert load_calibration(tmp_path / "c.json") == result
    assert guarantee_named("cross_risk", risk, 0.4, {"folds": 4}) == guarantee


def test_a_result_that_leaves_no_room_for_the_fold_to_come_is_refused():
    """5.3 of 20 may be lost with each image for itself, 3.2 with folds of 4."""
    scores, masks = [torch.tensor([[float(k)]]) for k in range(20)], [torch.ones(1, 1)] * 20
    alone = calibrate_maps(scores, masks, guarantee=CrossRisk(FNR, 0.3, 20))
    assert alone.risk == (0.25,)
    with pytest.raises(
        ValueError, match=r"risk must be at most 0\.16 with 'E\[FNR\] <= 0\.3', n = 20 and 5 folds, got 0"
    ):
        CrossRisk(FNR, 0.3, 5).check(alone)


def test_it_is_as_careful_as_it_must_be():
    """More folds leave less to the unknown; images that none has learned from leave least, but are twice as many."""
    budgets = [CrossRisk(FNR, 0.3, folds).budget(40) for folds in (4, 5, 8, 10, 20, 40)]
    assert budgets == sorted(budgets)
    assert budgets[-1] == ExpectedRisk(FNR, 0.3).budget(40)
    assert ConfidentRisk(FNR, 0.3, 0.1).budget(40) < budgets[-1]
