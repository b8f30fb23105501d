# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What all risks of the table share: a value in [0, 1] that goes one way with the cutoff, and their words."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import (
    RISKS,
    Exceeds,
    FalseAlarm,
    FalseNegativeRate,
    FalsePositiveRatio,
    Ignoring,
    LesionsMissed,
    MapStatistic,
    MeanOverRaters,
    Risk,
    WorstClassFalseNegativeRate,
    risk_named,
)
from tests.calibration.images import images, tensors

OF_OTHERS = [Exceeds(FalsePositiveRatio(), 0.25), Exceeds(WorstClassFalseNegativeRate(), 0.5)]
ALL = [*(make() for make in RISKS.values() if make is not Exceeds), *OF_OTHERS, LesionsMissed(0.5), FalseAlarm(3)]
EVERY = pytest.mark.parametrize("risk", ALL, ids=lambda risk: risk.key)
CUTOFFS = (-9.0, -0.5, 0.0, 0.1, 0.25, 0.5, 0.6, 0.75, 1.0, 9.0)


@EVERY
@settings(max_examples=30)
@given(maps=images(3, 3, classes=2))
def test_it_goes_one_way_with_the_cutoff_within_its_range(risk, maps):
    for image in maps:
        risks = torch.stack([risk.image_risk(*tensors(image), cutoff)[0] for cutoff in CUTOFFS])
        defined = ~risks.isnan().any(0)
        assert torch.equal(risks.isnan().all(0), ~defined)  # whether an image counts is no matter of the cutoff
        risks = risks[:, defined]
        assert bool(((risks >= 0) & (risks <= 1)).all())
        steps = risks.diff(dim=0)
        assert not risk.monotone or bool((steps >= 0).all() if risk.rises else (steps <= 0).all())
        assert bool((risks[0 if risk.rises else -1] == 0).all())  # the safe end loses nothing


@EVERY
@given(maps=images(4, 4, classes=2), cutoffs=st.tuples(*[st.sampled_from(CUTOFFS)] * 2))
@settings(max_examples=30)
def test_a_batch_is_its_images_and_a_number_is_that_number_for_all_classes(risk, maps, cutoffs):
    scores, labels = (torch.cat(parts) for parts in zip(*map(tensors, maps), strict=True))
    for cutoff in (torch.tensor(cutoffs), cutoffs[0]):
        batch = risk.image_risk(scores, labels, cutoff)
        single = torch.cat([risk.image_risk(*tensors(image), cutoff) for image in maps])
        torch.testing.assert_close(batch, single, rtol=0, atol=0, equal_nan=True)
    same = risk.image_risk(scores, labels, torch.full((2,), cutoffs[0]))
    torch.testing.assert_close(risk.image_risk(scores, labels, cutoffs[0]), same, rtol=0, atol=0, equal_nan=True)


@EVERY
def test_it_has_a_name_words_and_a_statistic_of_its_own(risk):
    assert isinstance(risk, Risk)
    assert risk.key.partition("(")[0] == risk.name
    assert RISKS[risk.name] is type(risk)
    assert risk.words in risk.expected_words or risk.expected_words == f"P({risk.words[2:-1]})"
    assert risk.statistic().measures == risk.key
    assert risk == replace(risk)
    assert hash(risk) == hash(replace(risk))


def test_whoever_says_no_statistic_is_calibrated_from_whole_maps():
    class Anything(Risk):
        name = "anything"
        words = "anything"

        def image_risk(self, scores, labels, cutoff):
            return (scores < cutoff).flatten(2).double().mean(-1)

    statistic = Anything().statistic()
    assert type(statistic) is MapStatistic
    assert statistic.measures == Anything().key == "anything"
    assert Anything().counted == "images with foreground"


@EVERY
def test_a_risk_is_found_by_its_key(risk):
    assert risk_named(risk.key) == risk


def test_a_risk_in_a_risk_in_a_risk_is_found():
    nested = Exceeds(Exceeds(LesionsMissed(0.5), 0.25), 0)
    assert nested.key == "exceeds(exceeds(lesions_missed(0.5), 0.25), 0.0)"
    assert risk_named(nested.key) == nested


def test_a_name_that_is_no_risk_is_refused():
    with pytest.raises(ValueError, match=r"must be one of false_negative_rate, .*got 'dice'"):
        risk_named("dice")


AROUND = pytest.mark.parametrize("around", [lambda risk: Exceeds(risk, 0.5), Ignoring, MeanOverRaters])


@AROUND
def test_a_volume_says_nothing_about_places_whatever_is_around_it(around):
    assert not around(RISKS["volume_underestimated"]()).of_places
    assert around(RISKS["false_negative_rate"]()).of_places


@AROUND
def test_a_risk_of_another_goes_its_way(around):
    for risk in (FalseNegativeRate(), LesionsMissed(0.5), FalsePositiveRatio()):
        assert around(risk).rises == risk.rises
        assert around(risk).monotone == risk.monotone
        assert around(risk).joint == risk.joint
        assert around(risk).looks_at_shape == risk.looks_at_shape


@AROUND
def test_a_risk_of_another_must_be_given_one(around):
    with pytest.raises(TypeError, match=r"risk must be a Risk .* got FalseNegativeRate; make one, with brackets\."):
        around(FalseNegativeRate)
