# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Refer or accept: limits by hand, the promised share over many draws, and the artifact."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.calibration import (
    ConfidentRisk,
    ExpectedRisk,
    FalseNegativeRate,
    FalsePositiveRatio,
    GrowingSet,
    PerPatient,
    Referral,
    Referring,
    calibrate_maps,
    load_calibration,
    save_calibration,
)
from monai_coat.calibration.referral import SizeSketch, distance_to, quantile_of, rule_of
from monai_coat.functional import clopper_pearson

FNR = FalseNegativeRate()


@given(st.lists(st.integers(0, 20).map(lambda k: k / 20), min_size=1, max_size=60), st.integers(-1, 21))
def test_a_sketch_bounds_the_share_of_a_set_from_above_by_less_than_a_block(scores, step):
    values, cutoff = torch.tensor(scores), step / 20
    share = float((values >= np.float32(cutoff)).double().mean())
    assert share == SizeSketch.of(values).share_at(cutoff)  # up to 1024 pixels a block is a pixel
    many = values.repeat_interleave(100)[: 100 * len(scores) - 7]
    share = float((many >= np.float32(cutoff)).double().mean())
    assert share <= SizeSketch.of(many).share_at(cutoff) <= share + 1 / 1024 + 1e-12 + 1 / len(many)


@pytest.mark.parametrize(
    ("values", "level", "limit"),
    [
        ([5.0, 1.0, 3.0], Fraction(1, 4), 5.0),  # rank ceil(0.75 * 4) = 3
        ([5.0, 1.0, 3.0], Fraction(1, 2), 3.0),  # rank 2
        ([5.0, 1.0, 3.0], Fraction(1, 5), math.inf),  # rank ceil(3.2) = 4 of 3
        ([], Fraction(1, 2), math.inf),
    ],
)
def test_limits_by_hand(values, level, limit):
    assert quantile_of(values, level, math.inf) == limit


def test_distances_are_to_the_nearest_reference_by_the_class_that_differs_most():
    references = (((0.0,) * 16, (0.0,) * 16), ((1.0,) * 16, (0.5,) * 16))
    assert distance_to(((0.25,) * 16, (0.0,) * 16), references) == 0.25
    assert distance_to(((1.0,) * 16, (0.25,) * 16), references) == 0.25
    assert distance_to(((9.0,) * 16, (9.0,) * 16), ()) == 0.0


def test_why_an_image_is_referred_is_said():
    rule = Referral(0.2, (0.5, 1.0), 0.125, (((0.0,) * 16, (0.0,) * 16),))
    scores = torch.zeros(2, 4)
    sets = torch.tensor([[True, True, False, False]] * 2)
    assert rule.decide(sets, scores) == {"decision": "accept", "why": []}
    large = torch.tensor([[True, True, True, False], [True] * 4])
    assert rule.decide(large, scores)["why"] == ["class 0: its set is 0.75 of the image, more than 0.5"]
    far = rule.decide(sets, scores + 0.5)
    assert far["decision"] == "refer"
    assert far["why"] == ["unlike the calibration's images: 0.5 away, more than 0.125"]


def images(seed, count):
    """Maps of which some are much larger, and some much brighter, than others; one in six has no foreground."""
    rng = np.random.default_rng(seed)
    size, offset = rng.gamma(2.0, 0.08, count), rng.choice([0.0, 0.0, 0.0, 0.4], count)
    scores = rng.random((count, 1, 100)) * 0.6 + offset[:, None, None] * rng.random((count, 1, 1))
    labels = rng.random((count, 1, 100)) < size[:, None, None].clip(0, 0.6)
    labels[rng.random(count) < 1 / 6] = False
    return torch.from_numpy(scores + 0.3 * labels).float(), torch.from_numpy(labels)


def test_of_new_images_at_most_the_promised_share_is_referred():
    guarantee, referred, draws = Referring(ExpectedRisk(FNR, 0.2), 0.2), 0, 600
    for seed in range(draws):
        scores, labels = images(seed, 61)
        result = calibrate_maps(list(scores[:60]), list(labels[:60]), guarantee=guarantee)
        inside = scores[60] >= result.cutoff[0]
        referred += result.referral.decide(inside, scores[60])["decision"] == "refer"
    low, _ = clopper_pearson(referred, draws, 0.999)
    assert low <= 0.2
    assert referred > 0.05 * draws  # a rule that never refers would keep its promise, too


def test_the_sets_are_measured_at_a_cutoff_that_no_new_image_could_undercut():
    # Nine images of one pixel at 0.1 ... 0.9 and a level of a half: a sum of 4 is tolerated, 3 if one more is lost.
    scores = torch.arange(1, 10).float().reshape(9, 1, 1) / 10
    statistic = Referring(ExpectedRisk(FNR, 0.5), 0.5).statistic()
    statistic.update(scores, torch.ones(9, 1, 1))
    guarantee = Referring(ExpectedRisk(FNR, 0.5), 0.5)
    assert guarantee.calibrate(statistic).cutoff[0] == np.float32(0.5)
    shares = [sketches[0].share_at(0.4) for sketches in statistic.sketches]
    assert shares == [0.0] * 3 + [1.0] * 6
    assert rule_of(statistic.sketches, [0.4], 0.5).sizes == guarantee.calibrate(statistic).referral.sizes == (1.0,)


def test_it_is_kept_in_the_artifact_and_takes_part_in_merging(tmp_path):
    scores, labels = images(0, 40)
    guarantee = Referring(ConfidentRisk(FNR, 0.4, 0.1), 0.2)
    whole = calibrate_maps(list(scores), list(labels), guarantee=guarantee)
    parts = [guarantee.statistic() for _ in range(2)]
    for statistic, part in zip(parts, (slice(0, 17), slice(17, 40)), strict=True):
        statistic.update(scores[part], labels[part])
    other = guarantee.statistic()
    other.load_state_dict(parts[1].state_dict())
    parts[0].merge(other)
    assert guarantee.calibrate(parts[0]) == whole
    save_calibration(whole, tmp_path / "c.json")
    assert load_calibration(tmp_path / "c.json") == whole
    assert "at most 20 in 100 are referred" in whole.guarantee
    text = json.loads((tmp_path / "c.json").read_text())
    text["referral"]["sizes"] = [2.0]
    (tmp_path / "c.json").write_text(json.dumps(text))
    with pytest.raises(ValueError, match="is damaged"):
        load_calibration(tmp_path / "c.json")


def test_an_infinite_distance_is_null_in_json():
    rule = Referral(0.1, (0.5,), math.inf, (((0.0,) * 16,),))
    assert rule.to_json()["distance"] is None
    assert Referral.from_json(json.loads(json.dumps(rule.to_json()))) == rule


@pytest.mark.parametrize(
    "guarantee",
    [PerPatient(ExpectedRisk(FNR, 0.1)), GrowingSet(FNR, 0.1), ConfidentRisk(FNR, 0.1, bound="betting"), FNR],
)
def test_what_has_no_proof_is_refused(guarantee):
    with pytest.raises(TypeError, match="for images to be referred"):
        Referring(guarantee, 0.1)


def test_too_few_images_are_said():
    scores, labels = torch.rand(12, 1, 9), torch.ones(12, 1, 9)
    with pytest.raises(ValueError, match=r"got 12 images, which tolerate less at alpha=0.1; add images"):
        calibrate_maps(list(scores), list(labels), guarantee=Referring(ExpectedRisk(FNR, 0.1), 0.1))
    with pytest.raises(ValueError, match=r"in \(0, 1\)"):
        Referring(ExpectedRisk(FNR, 0.1), 1.0)


def test_falling_risks_have_a_rule_as_well():
    scores, labels = images(3, 60)
    result = calibrate_maps(
        list(scores), list(labels), guarantee=Referring(ExpectedRisk(FalsePositiveRatio(), 0.3), 0.3)
    )
    assert 0 < result.referral.sizes[0] < 1
