# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pipelines that are not what was calibrated, each by what the page shows of it."""

from __future__ import annotations

import pytest

from benchmarks.validity.attempts import REFUSED, TAKEN, attempted, readable
from benchmarks.validity.pipeline import generated, pipeline_of
from benchmarks.validity.pipelines import ATTEMPTS

COUNT = 12


@pytest.fixture(scope="module")
def pipelines():
    return {name: pipeline_of(name, COUNT) for name in ("crc", "meg")}


@pytest.mark.parametrize("attempt", [one for one in ATTEMPTS if one.scorer != "at"], ids=lambda one: one.name)
def test_what_is_refused_and_what_is_taken(attempt, pipelines, tmp_path):
    pipeline = pipelines[attempt.scorer]
    pipeline.calibrated(generated(COUNT, 3), tmp_path)
    outcome = attempted(attempt.use, attempt.change(pipeline, tmp_path), tmp_path)
    # What is left, in the words of the page.
    left = {"weights written to through `.data`"}
    assert outcome.startswith(TAKEN if attempt.name in left else REFUSED), outcome


def test_training_mode_is_refused(pipelines, tmp_path):
    network = pipelines["meg"].network
    pipelines["meg"].calibrated(generated(COUNT, 3), tmp_path)
    network.train()
    image = generated(1, 4)[0]["image"][None]
    with pytest.raises(RuntimeError, match=r"network must be in evaluation mode, .* call network.eval\(\)"):
        network.prediction_set(image)
    assert network.eval().prediction_set(image).shape == (1, 1, 64, 64)


def test_the_unchanged_pipeline_is_taken(pipelines, tmp_path):
    pipelines["crc"].calibrated(generated(COUNT, 3), tmp_path)
    assert attempted(ATTEMPTS[0].use, pipelines["crc"], tmp_path) == TAKEN


def test_messages_become_cells():
    sentence = "got monai_coat.scorers.probability.ProbabilityScorer in /tmp/a/b/north.npz |\n here"
    assert readable(sentence) == "got ProbabilityScorer in north.npz \\| here"


def test_other_errors_are_no_refusal():
    with pytest.raises(KeyError):
        attempted({}.__getitem__, "absent")
