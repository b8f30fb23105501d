# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The simulation of annotation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import active_learning
from monai_coat.benchmark import Bench
from monai_coat.networks import ExpectedGapPredictor


@pytest.fixture
def generated(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(active_learning, "STEPS", (8, 12, 16))
    protocol = tiny()
    return protocol, Bench(protocol, tmp_path).rounds("generated", "layer")[0]


def test_each_step_adds_those_of_the_highest_score_that_are_left(generated, monkeypatch):
    protocol, each = generated
    seen = []
    fit = ExpectedGapPredictor.fit_curves

    def recorded(self, summaries, *rest):
        seen.append([int((each.train.summaries == row).all(1).nonzero()[0]) for row in summaries])
        return fit(self, summaries, *rest)

    monkeypatch.setattr(ExpectedGapPredictor, "fit_curves", recorded)
    observed = ExpectedGapPredictor().observe(each.train.probs, each.train.label, active_learning.ALPHA)
    gaps = active_learning.simulate(each, observed, lambda train, model, g: np.arange(len(train)) * 1.0, 0, protocol)
    assert len(gaps) == 3
    assert [len(rows) for rows in seen] == [8, 12, 16]
    assert all(len(set(rows)) == len(rows) for rows in seen)
    left = sorted(set(range(len(each.train))) - set(seen[0]), reverse=True)
    assert seen[1][8:] == left[:4]
    assert seen[2][12:] == left[4:8]


def test_scores_are_what_they_say(generated):
    _, each = generated
    observed = ExpectedGapPredictor().observe(each.train.probs, each.train.label, active_learning.ALPHA)
    model = ExpectedGapPredictor(members=2).fit_curves(each.train.summaries, observed, active_learning.ALPHA)
    scores = {
        name: score(each.train, model, np.random.default_rng(0)) for name, score in active_learning.STRATEGIES.items()
    }
    assert all(score.shape == (len(each.train),) for score in scores.values())
    possible, certain = (int((each.train.probs[3] >= cut).sum()) for cut in (0.1, 0.9))
    assert scores["ambiguity"][3] == pytest.approx(1 - certain / max(possible, 1))
    threshold = torch.logit(model(each.train.image, each.train.probs))[3, 0]
    step = int((model.ladder - threshold).abs().argmin())
    with torch.no_grad():
        expected = float(model.curves(each.train.summaries)[3, 0, 0, step])
    assert scores["expected gap"][3] == pytest.approx(expected, abs=1e-6)
