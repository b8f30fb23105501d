# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The guarantee itself, exactly: leave one image out of any finite set, and the mean over all choices is at most alpha.

Conformal risk control says E[FNR of a new image] <= alpha for exchangeable images. Images of a finite set in random
order are exchangeable, so the mean of the left-out image's FNR over all choices is such an expectation: the bound holds
for each set, with rational numbers and without tolerance. Scores lie on a coarse grid, to force ties.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch

from monai_coat.calibration import CoverageStatistic, calibrate, calibrate_maps
from monai_coat.functional import images_needed, true_positive_rate

ALPHAS = ("0.1", "0.15", "0.2", "0.25", "0.3", "0.35", "0.4", "0.5", "0.6", "0.7", "0.9")
SETS = 24  # sets of one size and level at a time, as classes: each class is calibrated alone
PIXELS, SCALE = 10, 840  # 840 is a multiple of 1..8, so that an image's FNR is a whole number of 1/840


@dataclass
class Sets:
    """``SETS`` sets of images: scores in steps of 1/8 and labels, both (images, sets, pixels), and each set's n + 1."""

    steps: np.ndarray
    labels: np.ndarray
    alpha: str
    members: int

    @property
    def sizes(self):
        return self.labels.sum(-1)

    @property
    def maps(self):
        """Each step is exact in float32."""
        return torch.from_numpy(self.steps.astype(np.float32) / 8), torch.from_numpy(self.labels)


def draw(rng, margins):
    """Sets with 4 to 14 images beside the left-out one, 1 to 8 foreground pixels each, and up to 2 images without."""
    alpha = str(rng.choice(ALPHAS))
    members = int(rng.integers(max(4, images_needed(float(alpha))), 15, 2).min()) + 1  # small sets are quick
    empty = int(rng.integers(0, 3))
    shape = (members + empty, SETS, PIXELS)
    steps = rng.integers(0, rng.choice([2, 4, 9, 40], (1, SETS, 1)), shape)
    if margins:  # a threshold per image and set, on the same grid, as a predictor would give
        steps = steps - rng.integers(0, 6, (*shape[:2], 1))
    sizes = rng.permuted(np.r_[np.ones(members, int), np.zeros(empty, int)][:, None].repeat(SETS, 1), axis=0)
    sizes *= rng.integers(1, rng.choice([2, 5, 9], SETS), sizes.shape, endpoint=False)
    labels = rng.permuted(np.arange(PIXELS) < sizes[..., None], axis=-1)
    return Sets(steps, labels, alpha, members)


def library(sets):
    """Missed pixels of each image under the cutoff of the others, and that cutoff in steps, both (images, sets)."""
    scores, labels = sets.maps
    parts = []
    for one, mask in zip(scores, labels, strict=True):
        parts.append(CoverageStatistic())
        parts[-1].update(one[None], mask[None])
    cutoffs = []
    for left_out in range(len(parts)):
        rest = CoverageStatistic()
        for part in parts[:left_out] + parts[left_out + 1 :]:
            rest.merge(part)
        cutoffs.append(calibrate(rest, float(sets.alpha)).cutoff)
    coverage = true_positive_rate(scores, labels, torch.tensor(cutoffs, dtype=torch.float64)).numpy()
    found = np.rint(np.nan_to_num(coverage) * sets.sizes).astype(int)
    with np.errstate(invalid="ignore"):
        assert np.array_equal(found / sets.sizes, coverage, equal_nan=True)  # the rate is k / m, rounded once
    return sets.sizes - found, np.array(cutoffs) * 8


def reference(sets, plus_one=True, strict=False):
    """:func:`library` from the definition in whole numbers; ``strict`` is evaluation with ``>`` in place of ``>=``."""
    levels = np.arange(sets.steps.min(), sets.steps.max() + 2)
    foreground = sets.labels[..., None]
    below = ((sets.steps[..., None] < levels) & foreground).sum(2)  # images, sets, levels
    here = ((sets.steps[..., None] == levels) & foreground).any(2)
    risk = below * SCALE // np.maximum(sets.sizes, 1)[..., None]
    alpha, extra = Fraction(sets.alpha) * 100, int(plus_one)
    missed, cutoffs = np.zeros(sets.sizes.shape, int), np.zeros(sets.sizes.shape)
    for i, image in enumerate(below):
        n = (np.delete(sets.sizes, i, 0) > 0).sum(0)[:, None]
        total = np.delete(risk, i, 0).sum(0)
        admissible = 100 * (total + extra * SCALE) <= int(alpha) * SCALE * (n + extra)
        admissible &= np.delete(here, i, 0).any(0)  # a score of the calibration set
        best = admissible.shape[1] - 1 - admissible[:, ::-1].argmax(1)
        cutoffs[i] = levels[best]
        missed[i] = np.take_along_axis(image, best[:, None] + strict, 1)[:, 0]
    return missed, cutoffs


def excess(sets, missed):
    """Sum over the left-out images of the FNR, minus what alpha allows it to be, per set: exact, in 1/(100 * 840)."""
    total = (missed * SCALE // np.maximum(sets.sizes, 1)).sum(0)
    return 100 * total - int(Fraction(sets.alpha) * 100) * SCALE * sets.members


@pytest.mark.parametrize("margins", [False, True])
@pytest.mark.parametrize("rounds", [42, pytest.param(1000, marks=pytest.mark.slow)])
def test_bound_holds_for_every_set_and_is_attained(rng, margins, rounds):
    seen = {"bound": 0, "no plus one": 0, "strict": 0}
    for _ in range(rounds):
        sets = draw(rng, margins)
        missed, cutoffs = library(sets)
        beyond = excess(sets, missed)
        assert (beyond <= 0).all()
        seen["bound"] += (beyond == 0).sum()
        # The oracle agrees on every choice, and its two mutants would be found out: the test has teeth.
        expected_missed, expected_cutoffs = reference(sets)
        assert np.array_equal(missed, expected_missed)
        assert np.array_equal(cutoffs, expected_cutoffs)
        seen["no plus one"] += (excess(sets, reference(sets, plus_one=False)[0]) > 0).sum()
        seen["strict"] += (excess(sets, reference(sets, strict=True)[0]) > 0).sum()
    assert seen["bound"] > 10
    assert seen["no plus one"] > 0.1 * rounds * SETS
    assert seen["strict"] > 0.1 * rounds * SETS


def test_equality_by_hand():
    # Five images of one pixel, scores 1..5; alpha = 0.4, n = 4: of budget 0.4 * 5 - 1 = 1 one image may be missed, the
    # cutoff is the second smallest of the others. Left out 1 or 2: cutoff 3, missed. 3, 4 or 5: cutoff 2, inside. Mean
    # FNR 2/5 = alpha exactly.
    maps, masks = [torch.tensor([[float(k)]]) for k in range(1, 6)], [torch.ones(1, 1)] * 5
    missed = 0
    for k in range(5):
        cutoff = calibrate_maps(maps[:k] + maps[k + 1 :], masks[:4], 0.4).cutoff[0]
        assert cutoff == (3.0 if k < 2 else 2.0)
        missed += 1 - int(true_positive_rate(maps[k][None], masks[k][None], cutoff))
    assert Fraction(missed, 5) == Fraction("0.4")


def test_images_without_foreground_neither_help_nor_harm(rng):
    sets = draw(rng, margins=False)
    scores, labels = (values[:, :, None] for values in sets.maps)
    blank = torch.zeros(40, *labels.shape[1:])
    before = calibrate_maps(list(scores), list(labels), 0.5)
    after = calibrate_maps([*scores, *blank], [*labels, *blank], 0.5)
    assert (after.cutoff, after.n, after.risk) == (before.cutoff, before.n, before.risk)
    assert after.n_empty == tuple(count + 40 for count in before.n_empty)


def test_mean_fnr_of_a_known_population_is_alpha_from_below():
    # An image of hardness h has pixels U**h with U uniform, so that P(score < c | h) = c ** (1 / h); h is 1/2, 1 or 2
    # with equal odds. The mean FNR at c is then exactly (c**2 + c + c**0.5) / 3. Scores are continuous, hence
    # alpha - 2 / (n + 1) <= E[FNR] <= alpha (Angelopoulos et al., Theorems 1 and 2).
    generator = np.random.default_rng(7)
    alpha, n, runs, pixels = 0.2, 19, 400, 12
    found = []
    for _ in range(runs):
        hardness = generator.choice([0.5, 1.0, 2.0], (n, 1, 1, 1))
        scores = torch.from_numpy(generator.random((n, 1, pixels, 1)) ** hardness).float()
        cutoff = calibrate_maps(list(scores), list(torch.ones_like(scores)), alpha).cutoff[0]
        found.append((cutoff**2 + cutoff + cutoff**0.5) / 3)
    slack = 4 * np.std(found) / runs**0.5
    assert slack < 0.02
    assert alpha - 2 / (n + 1) - slack <= np.mean(found) <= alpha + slack
