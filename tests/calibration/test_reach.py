# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The smallest useful level, by hand and against every level; and where it is said."""

from __future__ import annotations

import logging
import math
from fractions import Fraction

import pytest
import torch
from ignite.engine import Engine

from monai_coat.calibration import (
    OUT_OF_REACH,
    ConfidentRisk,
    CrossRisk,
    ExpectedRisk,
    FalseNegativeRate,
    LearnThenTest,
    PerGroup,
    PerPatient,
    Referring,
    ScoreForms,
    Weighted,
    calibrate_maps,
    load_calibration,
    promise_in_words,
    save_calibration,
    smallest_useful_level,
    with_reach,
)
from monai_coat.handlers import ConformalCalibration

COUNT = 60


def maps(seed=0, count=COUNT):
    """Maps of 8 bits: a part of each image's foreground, another in each, is at probability 0."""
    generator = torch.Generator().manual_seed(seed)
    probs = (torch.rand(count, 1, 20, generator=generator) * 254).ceil() / 255
    labels = torch.zeros(count, 1, 20, dtype=torch.bool)
    labels[..., :10] = True
    for probability, share in zip(probs, torch.rand(count, generator=generator) * 0.3, strict=True):
        probability[0, : int(10 * share)] = 0.0
    probs[..., 15:] = 0.0
    return probs, labels


def test_by_hand():
    """Of nine images one has lost half and one all of its foreground at 0: (1 + 1/2 + 1) / 10, and not a thousandth
    less."""
    probs = torch.full((9, 1, 4), 0.5)
    labels = torch.ones(9, 1, 4, dtype=torch.bool)
    labels[..., 3] = False
    labels[0, 0, 2] = False
    probs[..., 3] = 0.0
    probs[0, 0, 0] = 0.0
    probs[1] = 0.0
    found = {alpha: calibrate_maps(list(probs), list(labels), alpha).cutoff[0] for alpha in (0.249, 0.25)}
    assert found == {0.249: 0.0, 0.25: 0.5}
    statistic = ExpectedRisk().statistic()
    statistic.update(probs, labels)
    assert ExpectedRisk().useful_levels(statistic, [0.0]) == (0.25,)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_formula_rounded_up(seed):
    probs, labels = maps(seed)
    rows = zip(probs, labels, strict=True)
    lost = sum(Fraction(int((image[label] <= 0).sum()), int(label.sum())) for image, label in rows)
    exact = (1 + lost) / (COUNT + 1)
    statistic = ExpectedRisk().statistic()
    statistic.update(probs, labels)
    assert ExpectedRisk().useful_levels(statistic, [0.0]) == (math.ceil(1000 * exact) / 1000,)


def filled(guarantee):
    statistic = guarantee.statistic()
    meta = [{"site": "ab"[i % 2], "patient": str(i // 2), "weight": 0.5 + i % 2} for i in range(COUNT)]
    if statistic.asks_metadata:
        statistic.update(*maps(), meta)
    else:
        statistic.update(*maps())
    return statistic


RISK = FalseNegativeRate()
AROUND = {
    "expected": ExpectedRisk,
    "confident": lambda a: ConfidentRisk(RISK, a),
    "betting": lambda a: ConfidentRisk(RISK, a, bound="betting"),
    "folds": lambda a: CrossRisk(RISK, a, 20),
    "patients": lambda a: PerPatient(ExpectedRisk(alpha=a), "patient"),
    "weights": lambda a: Weighted(ExpectedRisk(alpha=a), "weight", 2),
    "groups": lambda a: PerGroup(ExpectedRisk(alpha=a), "site"),
    "referrals": lambda a: Referring(ExpectedRisk(alpha=a), 0.5),
}


@pytest.mark.parametrize("name", AROUND)
def test_every_guarantee_says_the_first_level_whose_cutoff_is_above(name):
    def made(alpha):
        return AROUND[name](alpha) if name != "expected" else ExpectedRisk(alpha=alpha)

    statistic = filled(made(0.1))
    (level,) = made(0.1).useful_levels(statistic, [0.0])
    assert made(level).calibrate(statistic).cutoff[0] > 0
    try:
        before = made(round(level - 0.001, 3)).calibrate(statistic).cutoff[0]
    except ValueError:  # too few images for that
        return
    assert before <= 0


def test_where_none_is_known_none_is_said():
    guarantee = LearnThenTest(RISK, 0.3, grid=(0, 1, 10))
    statistic = guarantee.statistic()
    statistic.update(*maps())
    assert guarantee.useful_levels(statistic, [0.0]) == (None,)
    assert smallest_useful_level(lambda alpha: 0.0, 0.0) is None


def test_the_words_say_it_in_the_artifact_too(tmp_path, caplog):
    probs, labels = maps()
    result = calibrate_maps(list(probs), list(labels), 0.05)
    statistic = filled(ExpectedRisk())
    (level,) = ExpectedRisk().useful_levels(statistic, [0.0])
    said = (
        f"alpha 0.05 is below what these maps can reach: the prediction set is everything in {COUNT} of {COUNT} "
        f"images, and the smallest useful level is {level:g}"
    )
    assert result.guarantee.endswith(f"; {said}")
    assert promise_in_words(result).endswith(f" A{said[1:]}.")
    assert caplog.text.count(said) == len(caplog.records) == 1
    save_calibration(result, tmp_path / "c.json")
    assert load_calibration(tmp_path / "c.json") == result
    useful = calibrate_maps(list(probs), list(labels), level)
    assert useful.cutoff[0] > 0
    assert OUT_OF_REACH not in useful.guarantee
    assert len(caplog.records) == 1


def test_the_handler_says_the_same(caplog):
    probs, labels = maps()
    engine = Engine(lambda engine, batch: batch)
    ConformalCalibration(0.05).attach(engine)
    with caplog.at_level(logging.INFO):
        result = engine.run([(probs[:25], labels[:25]), (probs[25:], labels[25:])]).calibration
    assert [record.levelname for record in caplog.records if OUT_OF_REACH in record.message] == ["WARNING", "INFO"]
    assert result == calibrate_maps(list(probs), list(labels), 0.05)


def test_classes_have_a_remark_each_by_name():
    probs, labels = (torch.cat([each, each], 1).reshape(COUNT, 2, 4, 5) for each in maps())
    probs[:, 1] = 0.1 + labels[:, 1] * 0.5
    result = calibrate_maps(
        list(probs), list(labels), guarantee=ExpectedRisk(alpha=0.05, class_names=("tumour", "liver"))
    )
    assert result.guarantee.count(OUT_OF_REACH) == 1
    assert f"alpha 0.05 {OUT_OF_REACH} of 'tumour': the prediction set" in result.guarantee


def test_a_cutoff_among_pixels_that_place_alone_orders_is_said():
    """Scores below 0 are of probability 0, in the order of their distance."""
    scores = torch.linspace(-0.5, 0.6, 12).repeat(30, 1, 1)
    scores[:4] = 0.9
    labels = scores >= -0.2
    guarantee, forms = ExpectedRisk(alpha=0.1), ScoreForms()
    statistic = guarantee.statistic()
    statistic.update(scores, labels)
    forms.take(scores)
    plain = guarantee.calibrate(statistic)
    assert with_reach(plain, guarantee, statistic, forms) == plain
    said = with_reach(plain, guarantee, statistic, forms, saturated=1e-6).guarantee
    assert "takes pixels of probability 0, the nearest first, and is everything in 4 of 30 images" in said
    lost = Fraction(int((labels & (scores <= 1e-6))[5].sum()), int(labels[5].sum()))
    assert said.endswith(f"the smallest useful level is {math.ceil(1000 * (1 + 26 * lost) / 31) / 1000:g}")
