# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What all guarantees share: the statistic must be of their risk, and images enough for their level."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.calibration import (
    GUARANTEES,
    RISKS,
    BinnedStatistic,
    ConfidentRisk,
    CoverageStatistic,
    ExpectedRisk,
    FalseNegativeRate,
    GrowingSet,
    LearnThenTest,
    MapStatistic,
    MeanGuarantee,
    PerGroup,
    PerPatient,
    PipelineIdentity,
    Risk,
    Weighted,
    WorstClassFalseNegativeRate,
    calibrate,
    check_calibration_fits,
    guarantee_named,
    load_calibration,
    risk_named,
    save_calibration,
)
from monai_coat.calibration.guarantees.base import images_for
from monai_coat.calibration.statistics.base import update_with
from tests.calibration.rows import (
    ADMITTED,
    EXAMPLES,
    MONOTONE,
    calibrated,
    maps,
    masks_for,
    metadata,
    promise_of,
)

PLAIN = ("expected_risk", "confident_risk", "growing_set", "learn_then_test", "cross_risk")


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize(("risk", "other"), list(zip(RISKS, [*list(RISKS)[1:], *list(RISKS)[:1]], strict=True)))
def test_a_statistic_of_another_risk_is_refused(guarantee, risk, other):
    if (guarantee, risk) not in ADMITTED:
        return
    promised, others = promise_of(guarantee, EXAMPLES[risk], 0.3), [MapStatistic(EXAMPLES[other])]
    if (guarantee, other) in ADMITTED:
        others.append(promise_of(guarantee, EXAMPLES[other], 0.3).statistic())
    for statistic in others:
        scores, labels = maps(30)
        update_with(statistic, scores, masks_for(EXAMPLES[other], labels), metadata(30))
        with pytest.raises(TypeError, match=r"statistic must .*; use guarantee\.statistic"):
            promised.calibrate(statistic)


def test_what_keeps_sums_alone_is_refused_where_single_images_are_asked_for():
    binned = BinnedStatistic(0.0, 1.0)
    binned.update(*maps(60))
    inner = ExpectedRisk(FalseNegativeRate(), 0.3)
    for guarantee, message in (
        (PerPatient(inner), "must know the 'patient' of each image, got BinnedStatistic; .* Sums over images"),
        (Weighted(inner), "must know the 'weight' of each image, got BinnedStatistic; .* Sums over images"),
        (PerGroup(inner), "must be one for each group, got BinnedStatistic"),
        (ConfidentRisk(FalseNegativeRate(), 0.3, 0.1, "betting"), "must keep the risk of each image, got BinnedStat"),
        (GrowingSet(FalseNegativeRate(), 0.3, 0.1), r"got BinnedStatistic, which keeps sums; .*\(hoeffding_bentkus\)"),
        (LearnThenTest(FalseNegativeRate(), 0.3), "must be sums of false_negative_rate on a grid, got BinnedStatistic"),
    ):
        with pytest.raises(TypeError, match=message):
            guarantee.calibrate(binned)


def test_sums_of_false_negative_rates_promise_nothing_about_the_worst_class():
    statistic = BinnedStatistic(0.0, 1.0)
    statistic.update(torch.rand(30, 2, 9), torch.ones(30, 2, 9))
    with pytest.raises(TypeError, match="risk 'worst_class_false_negative_rate', got BinnedStatistic"):
        calibrate(statistic, guarantee=ExpectedRisk(WorstClassFalseNegativeRate(), 0.1))


@pytest.mark.parametrize(("guarantee", "risk"), ADMITTED)
def test_tables_go_by_the_names_that_results_carry(guarantee, risk):
    promised = promise_of(guarantee, EXAMPLES[risk], 0.3)
    assert promised.statistic().measures == promised.risk.key
    result = calibrated(promised)
    assert risk_named(result.controls) == EXAMPLES[risk]
    assert guarantee_named(result.kind, risk_named(result.controls), result.alpha, result.settings).promise in (
        promised.promise,
        result.guarantee,
    )
    assert result.guarantee.startswith(f"{promised.promise} ")
    assert EXAMPLES[risk].expected_words in promised.promise


@pytest.mark.parametrize(("guarantee", "risk"), ADMITTED)
def test_the_artifact_keeps_all_of_it(tmp_path, guarantee, risk):
    promised = promise_of(guarantee, EXAMPLES[risk], 0.3)
    result = replace(calibrated(promised), method="coat", identity=PipelineIdentity({"weights": "a"}, {"inferer": "b"}))
    save_calibration(result, tmp_path / "a.json")
    loaded = load_calibration(tmp_path / "a.json")
    assert loaded == result
    assert loaded.groups == result.groups
    check_calibration_fits(loaded, guarantee=promised, classes=2, identity=result.identity)
    with pytest.raises(ValueError, match="wanted is"):
        check_calibration_fits(loaded, guarantee=promise_of(guarantee, EXAMPLES[risk], 0.4))
    again = guarantee_named(loaded.kind, risk_named(loaded.controls), loaded.alpha, loaded.settings)
    assert again.promise == promised.promise
    assert dict(again.settings) == dict(promised.settings)
    again.check(loaded)


@pytest.mark.parametrize(("guarantee", "risk"), ADMITTED)
def test_a_result_that_its_images_do_not_support_is_refused(guarantee, risk):
    """A mean risk at the level itself is evidence for nothing."""
    promised = promise_of(guarantee, EXAMPLES[risk], 0.3)
    result = calibrated(promised)
    promised.check(result)
    loose = SimpleNamespace(
        **{name: getattr(result, name) for name in ("n", "n_empty", "cutoff", "promised", "kind", "groups")}
    )
    loose.risk = (0.31,) * len(result.n)
    loose.groups = {
        name: SimpleNamespace(**{**vars(group), "risk": loose.risk}) for name, group in result.groups.items()
    }
    for group in loose.groups.values():
        group.promised = (True,) * len(result.n)
    with pytest.raises(ValueError, match="risk must"):
        promised.check(loose)


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("risk", [FalseNegativeRate, "false_negative_rate", None], ids=repr)
def test_a_risk_must_be_one(guarantee, risk):
    with pytest.raises(TypeError, match=r"risk must be a Risk such as FalseNegativeRate\(\)"):
        GUARANTEES[guarantee](risk, 0.1) if guarantee in PLAIN else GUARANTEES[guarantee](ExpectedRisk(risk, 0.1))


@pytest.mark.parametrize("guarantee", sorted(set(GUARANTEES) - set(PLAIN)))
@pytest.mark.parametrize("inner", [None, FalseNegativeRate(), PerPatient(ExpectedRisk()), LearnThenTest()], ids=repr)
def test_what_is_promised_of_each_must_be_a_promise_about_a_mean(guarantee, inner):
    with pytest.raises(TypeError, match="guarantee must be"):
        GUARANTEES[guarantee](inner)


@pytest.mark.parametrize("guarantee", sorted(set(GUARANTEES) - set(PLAIN)))
def test_names_of_classes_are_those_of_the_inner_promise(guarantee):
    """A class of which nothing can be promised is called by its name."""
    promised = GUARANTEES[guarantee](ExpectedRisk(FalseNegativeRate(), 0.3, ("liver", "tumour")))
    scores, labels = maps(60)
    labels[1:, 1] = False
    statistic = promised.statistic()
    update_with(statistic, scores, labels, [{**row, "site": "north"} for row in metadata(60)])
    result = promised.calibrate(statistic)
    assert result.promised == (True, False)
    assert "no promise about 'tumour'" in result.guarantee


def test_settings_that_a_guarantee_does_not_have_are_refused():
    for kind, settings, message in (
        ("dice", {}, "guarantee must be one of expected_risk, .*, got 'dice'"),
        ("expected_risk", {"delta": 0.1}, "must have the settings of 'expected_risk', got {'delta': 0.1}"),
        ("growing_set", {"grid": 3}, "must have the settings of 'growing_set'"),
        ("per_group", {"guarantee": "per_patient"}, "guarantee must be one such as ExpectedRisk"),
        ("weighted", {"guarantee": "confident_risk"}, "guarantee must be ExpectedRisk of a share of scores"),
        ("per_patient", {"largest": 2}, "must have the settings of 'per_patient'"),
        ("confident_risk", {"delta": "a"}, "delta must be a number"),
        ("learn_then_test", {"grid": 3}, r"grid must be \(low, high, steps\), got 3"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            guarantee_named(kind, FalseNegativeRate(), 0.1, settings)


@pytest.mark.parametrize("risk", MONOTONE.values(), ids=MONOTONE)
def test_no_image_and_too_few_are_refused(risk):
    guarantee = ExpectedRisk(risk, 0.1)
    with pytest.raises(ValueError, match="statistic must hold at least one image, got none; call update"):
        guarantee.calibrate(guarantee.statistic())
    scores, labels = maps(12)
    few = 8 if risk.counted == "images" else 12
    statistic = guarantee.statistic()
    masks = masks_for(risk, labels & (torch.arange(12) < 8)[:, None, None])
    statistic.update(scores[:few], masks[:few])
    with pytest.raises(ValueError, match=rf"needs at least 9 calibration .*, got 8 \({few - 8} .* were left"):
        guarantee.calibrate(statistic)


def test_a_class_is_named_unless_all_share_their_images():
    scores, labels = torch.rand(8, 2, 4), torch.ones(8, 2, 4)
    labels[0, 0] = 0
    alone, joint = CoverageStatistic(), WorstClassFalseNegativeRate().statistic()
    for statistic in (alone, joint):
        statistic.update(scores, labels)
    with pytest.raises(ValueError, match=r"with foreground of class 1, got 8 \(0 without"):
        calibrate(alone, 0.1)
    with pytest.raises(ValueError, match=r"with foreground of 'tumour', got 8 \(0 without"):
        ExpectedRisk(alpha=0.1, class_names=("liver", "tumour")).calibrate(alone)
    with pytest.raises(ValueError, match=r"with foreground, got 8 \(0 without"):
        calibrate(joint, guarantee=ExpectedRisk(WorstClassFalseNegativeRate(), 0.1))


def test_names_must_be_those_of_the_classes():
    statistic = CoverageStatistic()
    statistic.update(torch.rand(30, 2, 9), torch.ones(30, 2, 9))
    with pytest.raises(ValueError, match="class_names must name the 2 classes of the scores, got a, b, c; name each"):
        ExpectedRisk(alpha=0.1, class_names=("a", "b", "c")).calibrate(statistic)


@given(st.integers(1, 10**6), st.integers(1, 1000))
def test_the_fewest_images_are_found_by_bisection(fewest, slope):
    assert images_for(lambda n: Fraction(n - fewest, slope)) == fewest


def test_remarks_of_a_statistic_stand_once_in_the_words():
    statistic = BinnedStatistic(0.0, 1.0, 4)
    statistic.update(torch.rand(30, 3, 9), torch.ones(30, 3, 9))
    assert calibrate(statistic, 0.1).guarantee.count("grid of steps of 0.25") == 1


def test_a_guarantee_from_elsewhere_is_taken_as_those_of_the_table_are():
    @dataclass(frozen=True)
    class NothingLost(MeanGuarantee):
        """No calibration image may lose anything."""

        name = "nothing_lost"
        risk: Risk
        alpha: float
        promise = "E[FNR] as in the calibration"

        def budget(self, n):
            return Fraction(0)

    statistic = CoverageStatistic()
    statistic.update(torch.tensor([[[0.5, 0.25]], [[0.75, 0.5]]]), torch.ones(2, 1, 2))
    result = calibrate(statistic, guarantee=NothingLost(FalseNegativeRate(), 0.5))
    assert (result.cutoff, result.risk, result.kind) == ((0.25,), (0.0,), "nothing_lost")
