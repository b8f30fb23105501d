# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Strata of difficulty."""

from __future__ import annotations

import pytest
import torch

from monai_coat.networks import load_weights, save_weights
from monai_coat.scorers import ExpectedCoverageScorer, ProbabilityScorer, StratifiedScorer


def test_strata_are_quarters_of_the_training_images_in_order_of_expected_size(blobs):
    scorer = StratifiedScorer(ProbabilityScorer(), 4).fit(*blobs, alpha=0.2)
    stratum = scorer.stratum(blobs[1])[:, 0]
    assert torch.bincount(stratum).tolist() == [15, 15, 15, 15]
    assert (stratum[blobs[1].flatten(1).mean(1).argsort()].diff() >= 0).all()


def test_each_stratum_misses_what_is_tolerated_and_no_more(blobs):
    image, probs, labels = blobs
    scorer = StratifiedScorer(ProbabilityScorer(), 3).fit(image, probs, labels, alpha=0.2)
    scores, stratum = scorer(image, probs), scorer.stratum(probs)[:, 0]
    for index in range(3):
        chosen = [(s[y] < 0).double().mean() for s, y, k in zip(scores, labels, stratum, strict=True) if k == index]
        one_pixel = max(1 / int(y.sum()) for y in labels) / len(chosen)
        assert 0.2 - one_pixel <= float(torch.stack(chosen).mean()) <= 0.2 + 1e-9


def test_the_promise_is_marginal_and_exact(blobs, promise):
    image, probs, labels = blobs
    scorer = StratifiedScorer(ExpectedCoverageScorer(), 2).fit(*(each[:30] for each in blobs), alpha=0.2)
    assert promise(scorer(image[30:], probs[30:]), labels[30:]) <= 0.2 + 1e-12


def test_offsets_travel_with_the_weights_and_refuse_before(blobs, tmp_path):
    scorer = StratifiedScorer(ProbabilityScorer()).fit(*blobs, alpha=0.2)
    save_weights(scorer, tmp_path / "scorer.pt")
    other = StratifiedScorer(ProbabilityScorer())
    with pytest.raises(RuntimeError, match="scorer must be fitted before it is used"):
        other(*blobs[:2])
    assert torch.equal(load_weights(other, tmp_path / "scorer.pt")(*blobs[:2]), scorer(*blobs[:2]))


def test_bad_arguments_are_named(blobs):
    with pytest.raises(ValueError, match="num_strata must be at least 2, got 1"):
        StratifiedScorer(ProbabilityScorer(), 1)
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\), got 7"):
        StratifiedScorer(ProbabilityScorer(), 2).fit(*blobs, alpha=7)
    same = tuple(each[:1].repeat(4, 1, 1, 1) for each in blobs)
    with pytest.raises(ValueError, match="in every stratum, got none in stratum 1"):
        StratifiedScorer(ProbabilityScorer(), 2).fit(*same, alpha=0.2)
