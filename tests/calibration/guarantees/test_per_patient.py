# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A promise over patients: each weighs one, whether with one image or many."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import (
    ConfidentRisk,
    CoverageStatistic,
    Exceeds,
    ExpectedRisk,
    FalseAlarm,
    FalseNegativeRate,
    FalsePositiveRatio,
    GrowingSet,
    PatientStatistic,
    PerPatient,
    WorstClassFalseNegativeRate,
)
from tests.calibration.guarantees.populations import filled, most_by_chance
from tests.calibration.images import images, tensors


def of_patients(names):
    return [{"patient": name} for name in names]


def calibrated(guarantee, scores, names):
    return guarantee.calibrate(filled(guarantee.statistic(), scores, of_patients(names)))


def test_by_hand():
    # Patient a has pixels 1, 2 and 3, b has 4, c has 5. alpha = 1/2: of three patients, 0.5 * 4 - 1 = 1 may be lost.
    # At cutoff 4 all of a is lost; at 5 also b. Of five images 0.5 * 6 - 1 = 2 may be lost: there the cutoff is 3.
    inner = ExpectedRisk(FalseNegativeRate(), 0.5)
    result = calibrated(PerPatient(inner), range(1, 6), "aaabc")
    assert (result.cutoff, result.n, result.risk) == ((4.0,), (3,), (1 / 3,))
    assert inner.calibrate(filled(inner.statistic(), range(1, 6))).cutoff == (3.0,)
    # alpha = 0.4: a budget of 0.6, and at 3 two thirds of a are lost; at 2 one third.
    assert calibrated(PerPatient(ExpectedRisk(FalseNegativeRate(), 0.4)), range(1, 6), "aaabc").cutoff == (2.0,)


def test_images_without_foreground_do_not_count_and_patients_without_any_are_left_out():
    guarantee = PerPatient(ExpectedRisk(FalseNegativeRate(), 0.5))
    statistic = guarantee.statistic()
    labels = torch.tensor([1, 0, 1, 0, 0, 1])[:, None, None]
    statistic.update(torch.tensor([1.0, 9, 2, 9, 9, 3])[:, None, None], labels, of_patients("aabccd"))
    assert (statistic.n, statistic.n_empty) == ((3,), (1,))  # a, b and d; c has no foreground
    assert guarantee.calibrate(statistic).cutoff == (2.0,)  # the budget of 1 goes to a
    assert [risks.tolist() for risks in statistic.risks_at([2.5])] == [[1.0, 1.0, 0.0]]


GROUPED = st.lists(st.sampled_from("abcdefg"), min_size=12, max_size=12)


def patients_risk(risk, maps, names, cutoff, index):
    """The sum over patients of the mean over their images, in rational numbers, and the number of patients."""
    found = {}
    for image, name in zip(maps, names, strict=True):
        value = risk.image_risk(*tensors(image), cutoff)[0, index].item()
        if value == value:  # noqa: PLR0124  leaves out NaN
            found.setdefault(name, []).append(Fraction(value).limit_denominator(7))
    return sum((sum(risks) / len(risks) for risks in found.values()), Fraction(0)), len(found)


@settings(max_examples=50)
@given(maps=images(12, 12, classes=2), names=GROUPED)
@pytest.mark.parametrize("risk", [FalseNegativeRate(), FalsePositiveRatio(), Exceeds(FalseNegativeRate(), 0.3)])
def test_the_cutoff_is_the_most_useful_one_within_the_budget_of_patients(risk, maps, names):
    guarantee = PerPatient(ExpectedRisk(risk, 0.4))
    statistic = guarantee.statistic()
    for image, meta in zip(maps, of_patients(names), strict=True):
        statistic.update(*tensors(image), [meta])
    if min(guarantee.budget(n) for n in statistic.n) < 0:
        return
    result = guarantee.calibrate(statistic)
    for index, cutoff in enumerate(result.cutoff):
        total, count = patients_risk(risk, maps, names, cutoff, index)
        assert count == result.n[index]
        assert total <= guarantee.budget(count)
        assert result.risk[index] == pytest.approx(float(total / count), abs=1e-12)
        scores = {score for image in maps for score, _ in image[index]}
        better = [s for s in scores if (s > cutoff if risk.rises else s < cutoff)]
        if better:
            nearest = min(better) if risk.rises else max(better)
            assert patients_risk(risk, maps, names, nearest, index)[0] > guarantee.budget(count)


@settings(max_examples=40)
@given(maps=images(5, 9), alpha=st.sampled_from([0.3, 0.5]))
def test_with_one_image_each_it_is_the_promise_over_images(maps, alpha):
    inner = ExpectedRisk(FalseNegativeRate(), alpha)
    by_patient, by_image = PerPatient(inner).statistic(), inner.statistic()
    for place, image in enumerate(maps):
        by_patient.update(*tensors(image), [{"patient": place}])
        by_image.update(*tensors(image))
    assert (by_patient.n, by_patient.n_empty) == (by_image.n, by_image.n_empty)
    if inner.budget(by_image.n[0]) >= 0:
        one, other = PerPatient(inner).calibrate(by_patient), inner.calibrate(by_image)
        assert (one.cutoff, one.risk) == (other.cutoff, other.risk)


@given(scores=st.lists(st.integers(0, 20), min_size=6, max_size=12), times=st.integers(1, 5), which=st.integers(0, 5))
def test_more_images_of_a_patient_that_are_like_the_others_change_nothing(scores, times, which):
    guarantee = PerPatient(ExpectedRisk(FalseNegativeRate(), 0.4))
    names = [str(place) for place in range(len(scores))]
    more = calibrated(guarantee, [*scores, *[scores[which]] * times], [*names, *[names[which]] * times])
    assert more == calibrated(guarantee, scores, names)


@pytest.mark.parametrize("bound", ["hoeffding_bentkus", "betting"])
def test_where_images_of_a_patient_are_alike_only_patients_may_be_counted(bound):
    # Thirty patients with ten images of one score each, uniform over patients: the true risk at c is c.
    rng, runs = np.random.default_rng(6), 80
    inner = ConfidentRisk(FalseNegativeRate(), 0.2, 0.1, bound)
    names, failed, found_out = np.arange(30).repeat(10), 0, 0
    for _ in range(runs):
        scores = rng.random(30).astype(np.float32).repeat(10)
        failed += calibrated(PerPatient(inner), scores, names).cutoff[0] > 0.2
        found_out += inner.calibrate(filled(inner.statistic(), scores)).cutoff[0] > 0.2
    assert failed < most_by_chance(runs, 0.1)
    assert found_out > most_by_chance(runs, 0.1)


def test_its_words_speak_of_patients():
    guarantee = PerPatient(ExpectedRisk(FalseNegativeRate(), 0.2), key="subject")
    assert guarantee.promise == "E[FNR] <= 0.2"
    assert guarantee.scope == (
        "on average over new patients, each with the mean over subject's images with foreground, exchangeable with the "
        "n used"
    )
    assert (guarantee.keys, guarantee.settings) == (("subject",), {"guarantee": "expected_risk", "key": "subject"})
    statistic = guarantee.statistic()
    statistic.update(torch.rand(9, 1, 4), torch.ones(9, 1, 4), [{"subject": name} for name in "aaabbbccc"])
    with pytest.raises(
        ValueError, match=r"needs at least 4 calibration patients with images with foreground, got 3 \(0"
    ):
        guarantee.calibrate(statistic)


def test_what_does_not_say_its_patient_is_refused_and_adds_nothing():
    statistic = PatientStatistic(FalseNegativeRate(), "patient")
    filled(statistic, [1, 2], of_patients("ab"))
    maps = torch.rand(2, 1, 4), torch.ones(2, 1, 4)
    for meta, message in (
        (None, "metadata must say 'patient' of every image, got none; add it to the table"),
        ([{"patient": "a"}, {"site": "north"}], "metadata must say 'patient' of every image, got site"),
        ([{"patient": "a"}, {"patient": ""}], "metadata must say 'patient'"),
        ([{"patient": "a"}], "meta must have an entry for each of the 2 images, got 1"),
    ):
        with pytest.raises(ValueError, match=message):
            statistic.update(*maps, meta)
    with pytest.raises(ValueError, match="classes of the batches before"):
        statistic.update(torch.rand(1, 2, 4), torch.ones(1, 2, 4), of_patients("a"))
    assert (statistic.n, statistic.entries) == ((2,), ["a", "b"])


def test_only_statistics_of_the_same_patients_are_merged_and_solved():
    statistic = filled(PatientStatistic(FalseNegativeRate(), "patient"), [1, 2], of_patients("ab"))
    with pytest.raises(ValueError, match="other must be by 'patient', got one by 'subject'"):
        statistic.merge(PatientStatistic(FalseNegativeRate(), "subject"))
    with pytest.raises(ValueError, match="statistics of different risks do not add up"):
        statistic.merge(PatientStatistic(FalsePositiveRatio(), "patient"))
    with pytest.raises(TypeError, match="other must be a PatientStatistic, got CoverageStatistic"):
        statistic.merge(CoverageStatistic())
    inner = ExpectedRisk(FalseNegativeRate(), 0.5)
    with pytest.raises(TypeError, match="must know the 'subject' of each image, got PatientStatistic"):
        PerPatient(inner, key="subject").calibrate(statistic)
    statistic.merge(statistic)
    assert (statistic.n, len(statistic.entries)) == ((2,), 4)


def test_a_state_that_contradicts_itself_changes_nothing():
    statistic = filled(PatientStatistic(FalseNegativeRate(), "patient"), [1, 2], of_patients("ab"))
    other = PatientStatistic(FalseNegativeRate(), "patient")
    with pytest.raises(ValueError, match="entries must be one for each image"):
        other.load_state_dict({**statistic.state_dict(), "entries": ["a"]})
    assert (other.n, other.entries) == ((), [])


def test_a_risk_that_is_no_share_has_no_mean_over_images():
    with pytest.raises(TypeError, match=r"risk must be a share of scores .*, got 'worst_class_false_negative_rate'"):
        PerPatient(ExpectedRisk(WorstClassFalseNegativeRate()))
    assert PerPatient(ExpectedRisk(Exceeds(WorstClassFalseNegativeRate(), 0.2))).risk.is_share
    assert PerPatient(ExpectedRisk(FalseAlarm())).units == "patients with images without foreground"


def test_patients_of_a_set_that_grows_are_refused():
    with pytest.raises(TypeError, match="images that come later would change the risk of a patient who was counted"):
        PerPatient(GrowingSet(FalseNegativeRate(), 0.1))


def test_the_exact_bound_of_risks_that_are_0_or_1_is_refused():
    with pytest.raises(TypeError, match="the mean over a patient's images is neither; take hinge"):
        PerPatient(ConfidentRisk(Exceeds(FalseNegativeRate(), 0.2), 0.3, 0.5, "binomial"))


def test_of_a_risk_that_is_0_or_1_it_says_what_the_mean_is_over():
    words = PerPatient(ExpectedRisk(Exceeds(FalseNegativeRate(), 0.2), 0.1)).in_words(None)
    assert words.startswith(
        "Of the images of a patient, on average over new patients with images with foreground, at most 10 in 100 are "
    )
