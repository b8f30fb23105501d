# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The trials of promises: their truth is the package's risk, a right rule is left alone, and wrong ones are caught."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch

from benchmarks.validity.inputs import Inputs, LabelledMap
from benchmarks.validity.promises import everything, references, section, sources
from benchmarks.validity.promises.broken import HalvesAdded, broken_rules
from benchmarks.validity.promises.judging import Outcome
from benchmarks.validity.promises.pool import Pool
from benchmarks.validity.promises.referred import share_referred
from benchmarks.validity.promises.rows import RISKS, Rows, guarantees
from benchmarks.validity.promises.truth import GRID, Truth, step_of
from monai_coat.calibration import RISKS as TABLE
from monai_coat.calibration import ExpectedRisk, FalsePositiveRatio, Referring, risk_named


@pytest.fixture(scope="module")
def pool():
    return Pool.drawn(150, 0.3, 0)


@pytest.fixture(autouse=True)
def quiet(caplog):
    with everything.quiet():
        yield
    assert logging.root.manager.disable == logging.NOTSET


@pytest.mark.parametrize("key", RISKS)
def test_the_truth_is_the_risk_of_each_image(pool, key):
    curves = Truth(pool).curves(key)
    for step in (0, 1, 40, 133, 199, 200):
        risks = risk_named(key).image_risk(pool.scores, pool.labels, float(GRID[step])).numpy()
        np.testing.assert_array_equal(risks, curves[..., step])


def test_every_risk_is_tried():
    # With one rater, and nothing to ignore, the others are the risk that they are made around.
    assert {key.partition("(")[0] for key in RISKS} == set(TABLE) - {"mean_over_raters", "ignoring"}


def test_the_step_of_a_cutoff_has_its_set():
    above = float(np.nextafter(np.float32(0.5), np.float32(1)))
    assert [step_of(0.5), step_of(above), step_of(0.5, strict=True)] == [100, 101, 101]
    assert [step_of(-3.0), step_of(3.0)] == [0, 200]


def test_lesions_are_apart_and_numbered(pool):
    for row in pool.lesions[:100].reshape(-1, pool.lesions.shape[2]):
        starts = row[np.flatnonzero(np.diff(np.r_[0, row]) > 0)]
        assert starts.tolist() == list(range(1, len(starts) + 1))


def test_the_share_referred_is_that_of_the_rule(pool):
    guarantee = Referring(ExpectedRisk(FalsePositiveRatio(), 0.2), share=0.4)
    statistic = guarantee.statistic()
    statistic.update(pool.scores[:60, :1], pool.labels[:60, :1])
    result = guarantee.calibrate(statistic)
    new = list(range(60, 160))
    sets = pool.scores[new, :1] >= result.cutoff[0]
    decisions = [result.referral.decide(each, scores) for each, scores in zip(sets, pool.scores[new, :1], strict=True)]
    refer = np.mean([decision["decision"] == "refer" for decision in decisions])
    assert 0 < refer == share_referred(result, Truth(pool), new, 1)


def test_bounds_of_what_was_realised():
    # Three of three draws break a level: at p with p ** 3 = 0.01 / 10 that is as likely as the level allows.
    shares = Outcome("", "", "", 20, 0.05, (1.0, 1.0, 1.0))
    assert shares.least(10) == pytest.approx(0.1, rel=1e-5)
    assert not shares.kept(10)
    means = Outcome("", "", "", 20, 0.1, (0.11, 0.105) * 500)
    assert 0.1 < means.least(10) < means.mean
    assert Outcome("", "", "", 20, 0.1, (0.09, 0.11) * 500).kept(10)


def test_a_right_rule_is_kept_and_two_wrong_ones_are_caught():
    pool = Pool.drawn(400, 0.1, 0)
    rows = Rows("exceeds(false_negative_rate, 0.2)", pool, 250)
    right = rows.collections()[0]
    kept = [outcome.kept(500) for outcome in right.outcomes("", 60, 0) if outcome.n < 200]
    assert all(kept)
    rules = {rule.wrong: rule for rule in broken_rules(pool)}
    for wrong in ("thresholds trained on the calibration images", "delta left out"):
        assert not rules[wrong].outcome(250, 0).kept(500)


def test_the_halves_that_are_added_are_two_maxima():
    # Six risks of 0: each wins log(1 + 0.2 nu_i), nu from the spread before it; both halves' sums are their maxima.
    guarantee = HalvesAdded(risk_named("false_negative_rate"), 0.2, 0.1)
    assert not guarantee._keeps(np.zeros(6))
    assert guarantee._keeps(np.zeros(60))
    # Losses at the end of each half do not count: the maximum was before.
    assert guarantee._keeps(np.tile(np.r_[np.zeros(60), np.ones(5)], 2))


def test_every_guarantee_is_tried():
    names = set(guarantees(risk_named("false_negative_rate")))
    for beginning in ("expected", "confident", "growing", "learn_then_test", "per_group", "per_patient", "weighted"):
        assert any(name.startswith(beginning) for name in names)


def test_a_package_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(references, "COMPARISONS", {("a thing", "no_such_package"): None})
    content = references.run(None)
    assert content == {"rows": [], "absent": ["no_such_package"]}
    assert "Not installed: no_such_package." in references.lines(content)


def test_the_page_says_what_is_kept_and_caught():
    row = {"risk": "r", "promise": "E[FNR] <= 0.1", "by": "growing_set", "n": 200, "level": 0.1, "mean": 0.08}
    row |= {"refused": 0, "draws": 40, "least": 0.05, "kept": True}
    wrong = row | {"by": "delta left out", "kept": False}
    content = {
        "draws": 2000,
        "images": 4,
        "rows": [row],
        "wrong": [wrong],
        "clean": [],
        "refused": {"no": [["r", "g"]]},
    }
    text = "\n".join(section.lines(json.loads(json.dumps(content))))
    assert "| E[FNR] <= 0.1 | growing_set | 0.1 |  |  | 0.080 [0.050] |  | yes |" in text
    assert "| delta left out | E[FNR] <= 0.1 | 200 | 0.1 | 0.080 [0.050] | yes |" in text
    assert section.verdict(content).startswith("1 of 1 rows")


def test_another_source_breaks_the_promise_and_groups_mend_it(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    labels = [torch.rand(1, 1, 8, 8, generator=generator) < 0.4 for _ in range(120)]
    maps = [LabelledMap(0.5 * torch.rand(1, 1, 8, 8, generator=generator) + 0.4 * label, label) for label in labels]
    dim = [LabelledMap(image.scores**2, image.label) for image in maps[60:]]
    names = np.array([sources.HERE] * 60 + [sources.THERE] * 60)
    monkeypatch.setattr(sources.Sources, "of", lambda inputs: sources.Sources([*maps[:60], *dim], names))
    monkeypatch.setattr(sources, "SPLITS", 1)
    content = sources.run(Inputs(None, None))
    rows = {(row[0], row[1]): row[2] for row in content["rows"]}
    assert rows[0.1, "as it is"][0][0] > 0.3
    assert np.mean(rows[0.1, "per_group, CVC-ColonDB"], axis=0)[0] < 0.12
    assert "From CVC-ClinicDB to CVC-ColonDB" in sources.verdict(content)
