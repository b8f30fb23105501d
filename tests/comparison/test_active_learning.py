# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The simulation of annotation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import active_learning
from monai_coat.comparison import ComparisonData
from monai_coat.scorers import ExpectedGapPredictor


@pytest.fixture
def generated(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(active_learning, "STEPS", (8, 12, 16))
    protocol = tiny()
    return protocol, ComparisonData(protocol, tmp_path).repeats("generated", "layer")[0]


def test_each_step_adds_those_of_the_highest_score_that_are_left(generated, monkeypatch):
    protocol, repeat = generated
    seen = []
    fit = ExpectedGapPredictor.fit_curves

    def recorded(self, summaries, *rest):
        seen.append([int((repeat.train.summaries == row).all(1).nonzero()[0]) for row in summaries])
        return fit(self, summaries, *rest)

    monkeypatch.setattr(ExpectedGapPredictor, "fit_curves", recorded)
    observed = ExpectedGapPredictor().observe(repeat.train.probs, repeat.train.label, active_learning.ALPHA)
    gaps = active_learning.simulate(repeat, observed, lambda train, model, g: np.arange(len(train)) * 1.0, 0, protocol)
    assert len(gaps) == 3
    assert [len(rows) for rows in seen] == [8, 12, 16]
    assert all(len(set(rows)) == len(rows) for rows in seen)
    left = sorted(set(range(len(repeat.train))) - set(seen[0]), reverse=True)
    assert seen[1][8:] == left[:4]
    assert seen[2][12:] == left[4:8]


def test_scores_are_what_they_say(generated):
    _, repeat = generated
    observed = ExpectedGapPredictor().observe(repeat.train.probs, repeat.train.label, active_learning.ALPHA)
    model = ExpectedGapPredictor(members=2).fit_curves(repeat.train.summaries, observed, active_learning.ALPHA)
    scores = {
        name: score(repeat.train, model, np.random.default_rng(0)) for name, score in active_learning.STRATEGIES.items()
    }
    assert all(score.shape == (len(repeat.train),) for score in scores.values())
    possible, certain = (int((repeat.train.probs[3] >= cut).sum()) for cut in (0.1, 0.9))
    assert scores["ambiguity"][3] == pytest.approx(1 - certain / max(possible, 1))
    threshold = torch.logit(model(repeat.train.image, repeat.train.probs))[3, 0]
    step = int((model.ladder - threshold).abs().argmin())
    with torch.no_grad():
        expected = float(model.curves(repeat.train.summaries)[3, 0, 0, step])
    assert scores["expected gap"][3] == pytest.approx(expected, abs=1e-6)
