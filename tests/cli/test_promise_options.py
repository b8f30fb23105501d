# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Promises as they are typed."""

from __future__ import annotations

import argparse

import pytest

from monai_coat.calibration import (
    GUARANTEES,
    RISKS,
    ConfidentRisk,
    Exceeds,
    ExpectedRisk,
    FalseNegativeRate,
    GrowingSet,
    LearnThenTest,
    LesionsMissed,
    PerGroup,
    PerPatient,
    Referring,
    Weighted,
)
from monai_coat.calibration.guarantees.confident import BOUNDS
from monai_coat.calibration.guarantees.learn_then_test import PROCEDURES
from monai_coat.cli import promise_options
from monai_coat.cli.promise_options import add_promise, guarantee_of

FNR = FalseNegativeRate()


def typed(text, risk=True):
    command = argparse.ArgumentParser()
    add_promise(command, risk)
    return guarantee_of(command.parse_args(text.split()), *([] if risk else ["false_positive_ratio"]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ExpectedRisk(FNR, 0.1)),
        ("--risk exceeds(false_negative_rate,0.2) --alpha 0.05", ExpectedRisk(Exceeds(FNR, 0.2), 0.05)),
        ("--risk lesions_missed(0.5)", ExpectedRisk(LesionsMissed(0.5), 0.1)),
        ("--guarantee confident_risk", ConfidentRisk(FNR, 0.1)),
        ("--guarantee confident_risk --delta 0.2 --bound hinge", ConfidentRisk(FNR, 0.1, 0.2, "hinge")),
        ("--guarantee growing_set --delta 0.2", GrowingSet(FNR, 0.1, 0.2)),
        ("--per-group site", PerGroup(ExpectedRisk(FNR, 0.1), "site")),
        ("--per-group size(0.5,0.1) --guarantee confident_risk", PerGroup(ConfidentRisk(FNR, 0.1), "size(0.5,0.1)")),
        ("--per-patient case", PerPatient(ExpectedRisk(FNR, 0.1), "case")),
        ("--weight w --largest-weight 3", Weighted(ExpectedRisk(FNR, 0.1), "w", 3.0)),
        ("--refer 0.2", Referring(ExpectedRisk(FNR, 0.1), 0.2)),
        (
            "--guarantee learn_then_test --also false_discovery_rate<=0.2 --grid -1 1 50 --procedure holm --delta 0.2",
            LearnThenTest(FNR, 0.1, 0.2, {"false_discovery_rate": 0.2}, (-1.0, 1.0, 50), "holm"),
        ),
    ],
)
def test_what_is_typed_is_the_object(text, expected):
    assert typed(text) == expected


def test_where_files_say_the_risk_it_is_theirs():
    assert typed("--alpha 0.2", risk=False).risk.key == "false_positive_ratio"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("--risk dice", "must be one of false_negative_rate, .*got 'dice'"),
        ("--risk exceeds(false_negative_rate", "must close its bracket"),
        ("--risk exceeds", "must have the settings of 'exceeds'"),
        ("--delta 0.1", "delta must go with another guarantee.*; add --guarantee confident_risk or growing_set"),
        ("--guarantee growing_set --bound hinge", "bound must be betting"),
        ("--guarantee confident_risk --delta 2", r"delta must be in \(0, 1\)"),
        ("--guarantee confident_risk --bound binomial", "got binomial, which is of risks that are 0 or 1"),
        ("--guarantee learn_then_test --also fdr", "also must be RISK<=LEVEL, got 'fdr' without <="),
        ("--guarantee learn_then_test --also fdr<=x", "without a number behind <="),
        ("--guarantee learn_then_test --grid 1 0 50", r"grid must be \(low, high, steps\) with low < high"),
        ("--guarantee learn_then_test --per-patient a", "guarantee must be one such as ExpectedRisk"),
        ("--risk worst_class_false_negative_rate --per-patient a", "risk must be a share of scores"),
        ("--guarantee confident_risk --weight a", "guarantee must be ExpectedRisk of a share of scores"),
        ("--largest-weight 3", "largest-weight must go with weight"),
        ("--guarantee growing_set --refer 0.1", "guarantee must be ExpectedRisk, or ConfidentRisk with a bound"),
        ("--per-group size(0.5)", "edges must ascend"),
    ],
)
def test_what_does_not_go_together_is_a_sentence(text, said):
    with pytest.raises((TypeError, ValueError), match=said):
        typed(text)


def test_the_lists_in_the_help_are_the_tables():
    assert set(promise_options.RISKS) == set(RISKS)
    assert set(promise_options.BOUNDS) == set(BOUNDS)
    assert set(promise_options.PROCEDURES) == set(PROCEDURES)
    wrappers = {"per_group", "per_patient", "weighted"}
    assert set(promise_options.GUARANTEES) == set(GUARANTEES) - wrappers
