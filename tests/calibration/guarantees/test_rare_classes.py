# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A class with too few images gets no promise, says so everywhere, and does not stop the others."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch
from torch import nn

from monai_coat.calibration import (
    BinnedStatistic,
    BracketStatistic,
    CoverageStatistic,
    ExpectedRisk,
    load_calibration,
    save_calibration,
    summary_of,
)
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.transforms import CertaintyMap, ConformalMask
from tests.calibration.rows import MONOTONE, masks_for

# Of volumes every image counts, so that no class is rare.
ALONE = [name for name, risk in MONOTONE.items() if not risk.joint and risk.counted != "images"]
GENERATOR = torch.Generator().manual_seed(0)
SCORES = torch.rand(30, 3, 8, 8, generator=GENERATOR)
LABELS = (torch.rand(30, 3, 8, 8, generator=GENERATOR) < 0.3).float()
LABELS[8:, 1] = 0
NAMES = ("liver", "tumour", "cyst")


def calibrated(risk="false_negative_rate", statistic=None, classes=slice(None)):
    guarantee = ExpectedRisk(MONOTONE[risk], alpha=0.1, class_names=NAMES[classes])
    statistic = guarantee.statistic() if statistic is None else statistic
    statistic.update(SCORES[:, classes], masks_for(guarantee.risk, LABELS)[:, classes])
    return guarantee.calibrate(statistic)


def bracketed():
    first = BinnedStatistic(0.0, 1.0, 16)
    first.update(SCORES, LABELS)
    return BracketStatistic(first.brackets(0.1))


@pytest.mark.parametrize("risk", ALONE)
def test_the_others_are_calibrated_as_without_it(risk):
    result = calibrated(risk)
    assert result.promised == (True, False, True)
    assert result.n[1] == 8
    for index in (0, 2):
        alone = calibrated(risk, classes=slice(index, index + 1))
        assert (result.cutoff[index], result.risk[index]) == (alone.cutoff[0], alone.risk[0])


@pytest.mark.parametrize("make", [CoverageStatistic, lambda: BinnedStatistic(0.0, 1.0), bracketed])
def test_every_statistic_knows_it(make):
    result = calibrated(statistic=make())
    assert result.promised == (True, False, True)
    assert result.guarantee.endswith(
        "no promise about 'tumour', whose set is everything: 8 of the 9 images with foreground that it takes"
    )


@pytest.mark.parametrize("risk", ALONE)
def test_its_set_is_the_one_that_loses_nothing(risk):
    """Whatever the scores, also those that no calibration image had."""
    result, risk = calibrated(risk), MONOTONE[risk]
    scores = torch.tensor([-3e38, -1e30, 0.0, 0.5, 1e30, 3e38]).expand(3, 6)
    inside = ConformalMask(result)(scores)[1]
    assert bool((inside == float(risk.rises)).all())
    assert ("everything" if risk.rises else "empty") in result.guarantee


@pytest.mark.parametrize("risk", ALONE)
def test_the_artifact_keeps_it_and_inference_says_it(risk, tmp_path, caplog):
    result = calibrated(risk)
    save_calibration(result, tmp_path / "a.json")
    assert load_calibration(tmp_path / "a.json") == result
    with caplog.at_level(logging.WARNING):
        ConformalMask(tmp_path / "a.json")
    assert "no promise about 'tumour'" in caplog.text
    assert summary_of(result).split(":")[0].split(", ")[1] == "none"


def test_labels_of_certain_and_possible_say_it(caplog):
    possible, certain = calibrated(), calibrated("false_positive_ratio")
    labels = CertaintyMap(possible, certain)(SCORES[0])
    assert caplog.text.count("no promise about 'tumour'") == 2
    names = CertaintyMap(possible, certain).labels
    assert bool(names.possible(labels[0])[1].all())
    assert not bool(names.certain(labels[0])[1].any())


def test_a_network_takes_it():
    network = AdaptiveSegmenter(nn.Conv2d(1, 3, 1), num_classes=3).eval()
    result = calibrated()
    network.set_calibration(result.cutoff, result.alpha, result.n)
    image = torch.randn(2, 1, 8, 8)
    assert bool(network.prediction_set(image)[:, 1].all())
    assert network.thresholds(image)[:, 1].tolist() == [0.0, 0.0]


def test_words_and_cutoffs_must_agree():
    result = calibrated()
    with pytest.raises(ValueError, match="guarantee must say of which classes it is"):
        replace(result, guarantee=result.guarantee.partition("; no promise")[0])
    with pytest.raises(ValueError, match="guarantee must say of which classes it is"):
        replace(result, cutoff=(result.cutoff[0], 0.5, result.cutoff[2]))
    with pytest.raises(ValueError, match="promised for at least one class"):
        replace(result, cutoff=(result.cutoff[1],) * 3)
