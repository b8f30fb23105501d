# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Splits: drawn for all methods alike, and measured pixel by pixel."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from monai_coat.calibration import calibrate_maps
from monai_coat.comparison import Repeat, SortedScores, draw_split
from monai_coat.comparison.splits import draw_group_split, measure_split
from monai_coat.scorers import FittedMethod, PredictedMaps, ProbabilityScorer


@pytest.fixture
def repeat():
    generator = torch.Generator().manual_seed(0)
    probs = torch.rand(30, 1, 6, 5, generator=generator)
    label = torch.rand(30, 1, 6, 5, generator=generator) < probs
    maps = PredictedMaps(tuple(map(str, range(30))), torch.zeros(30, 3, 6, 5, dtype=torch.uint8), label, probs)
    return Repeat(maps, maps)


def test_a_split_is_a_division_of_the_pool_in_the_protocol_s_shares(tiny, repeat):
    splits = [draw_split(repeat, tiny(fractions=[0.4, 0.2, 0.1, 0.3]), number) for number in range(4)]
    for calibration, test in splits:
        assert sorted(calibration + test) == list(range(30))
        assert len(calibration) == round(30 * 0.25)
    assert len({tuple(calibration) for calibration, _ in splits}) == 4


def test_splits_in_whole_groups_go_both_ways_round(tiny, repeat):
    groups = tuple("abcdefghij"[place % 10] for place in range(30))
    pool = replace(repeat.pool, groups=groups)
    splits = [draw_group_split(Repeat(pool, pool), tiny(), number) for number in range(4)]
    for calibration, test in splits:
        assert sorted(calibration + test) == list(range(30))
        assert not {groups[i] for i in calibration} & {groups[i] for i in test}
        assert len(calibration) == 15
    assert splits[0] == splits[1][::-1]
    assert splits[0] not in splits[2:]
    with pytest.raises(ValueError, match="group_splits must be 0 where images have no groups"):
        draw_group_split(repeat, tiny(), 0)


def test_a_scorer_is_calibrated_and_then_measured(tiny, repeat):
    calibration, test = draw_split(repeat, tiny(), 0)
    scores = SortedScores.of(repeat.pool.probs, repeat.pool.label)
    measures, coverages = measure_split(FittedMethod(ProbabilityScorer()), scores, repeat, 0.2, (calibration, test))
    maps, labels = ([values[i] for i in calibration] for values in (repeat.pool.probs, repeat.pool.label))
    cutoff = calibrate_maps(maps, labels, 0.2).cutoff[0]
    assert measures["cutoff"] == cutoff
    sets, masks = repeat.pool.probs[test] >= cutoff, repeat.pool.label[test]
    hits, sizes = ((which & masks).flatten(1).sum(1).double() for which in (sets, masks))
    expected = (hits / sizes).tolist()
    assert coverages == pytest.approx(expected, abs=1e-4)
    assert measures["coverage"] == pytest.approx(sum(expected) / len(expected), abs=1e-6)
    assert measures["set_fraction"] == pytest.approx(float(sets.double().mean()), abs=1e-6)
    assert (measures["n_calibration"], measures["n_test"]) == (len(calibration), len(test))


def test_thresholds_of_a_rule_are_used_as_they_are(repeat):
    seen = []

    def rule(pool, calibration, test):
        seen.append((calibration, test))
        return torch.full((len(test),), 2.0)

    scores = SortedScores.of(repeat.pool.probs, repeat.pool.label)
    measures, coverages = measure_split(FittedMethod(rule=rule), scores, repeat, 0.2, ([0, 1], [2, 3, 4]))
    assert seen == [([0, 1], [2, 3, 4])]
    assert measures["cutoff"] is None
    # Empty sets: nothing is covered, and nothing in them is wrong.
    assert coverages == [0.0, 0.0, 0.0]
    assert (measures["precision"], measures["shortfall"], measures["share_below"]) == (1.0, 0.8, 1.0)


def test_a_hash_tells_splits_apart(repeat):
    scores = SortedScores.of(repeat.pool.probs, repeat.pool.label)
    fitted = FittedMethod(ProbabilityScorer())
    places = [(list(range(9)), [10]), (list(range(9)), [11]), (list(range(1, 10)), [10])]
    assert len({measure_split(fitted, scores, repeat, 0.2, each)[0]["hash"] for each in places}) == 3
