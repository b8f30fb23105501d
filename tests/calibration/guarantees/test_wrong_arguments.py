# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Arguments of another kind, by every function of calibration: a sentence with the remedy, never a raw exception."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_coat.calibration import (
    BinnedStatistic,
    CalibrationResult,
    CollectedStatistic,
    CoverageStatistic,
    ExpectedRisk,
    FalsePositiveRatio,
    calibrate,
    calibrate_maps,
    save_calibration,
    save_statistic,
)

MAPS = [torch.linspace(0, 1, 16).reshape(1, 4, 4) * (1 - i / 50) for i in range(12)]
MASKS = [torch.ones(1, 4, 4)] * 12


@pytest.mark.parametrize("make", [iter, tuple, torch.stack, lambda m: (x for x in m), lambda m: [x.numpy() for x in m]])
def test_maps_come_in_any_sequence(make):
    expected = calibrate_maps(MAPS, MASKS, 0.2)
    assert calibrate_maps(make(MAPS), MASKS, 0.2) == expected
    assert calibrate_maps(MAPS, make(MASKS), 0.2) == expected
    assert calibrate_maps(make(MAPS), make(MASKS), 0.2) == expected


@pytest.mark.parametrize("wrong", ["folder", Path("folder"), {"a": MAPS[0]}, None, 3, 0.5])
@pytest.mark.parametrize("name", ["scores", "labels"])
def test_what_is_no_sequence_is_refused(wrong, name):
    given = {"scores": MAPS, "labels": MASKS, name: wrong}
    with pytest.raises(
        TypeError, match=rf"^{name} must be a sequence of maps .*, got {type(wrong).__name__}; put them"
    ):
        calibrate_maps(**given, alpha=0.2)


@pytest.mark.parametrize("wrong", ["a.png", Path("a.png"), {"a": 1}, None])
@pytest.mark.parametrize("name", ["scores", "labels"])
def test_a_map_that_is_none_is_named(wrong, name):
    given = {"scores": MAPS, "labels": MASKS}
    given[name] = [*given[name][:5], wrong, *given[name][6:]]
    with pytest.raises(TypeError, match=rf"^image 5 of the sequence: {name} must hold tensors .*; read files by"):
        calibrate_maps(**given, alpha=0.2)


def test_pictures_are_no_maps():
    with pytest.raises(TypeError, match="image 0 of the sequence: scores must"):
        calibrate_maps([Image.fromarray(np.zeros((4, 4), np.uint8))] * 12, MASKS, 0.2)


@pytest.mark.parametrize("empty", [[], (), iter([]), torch.zeros(0, 1, 4, 4)])
def test_no_map_at_all_is_said(empty):
    with pytest.raises(ValueError, match="scores must hold at least one map, got none; give those"):
        calibrate_maps(empty, empty, 0.2)


def test_masks_without_foreground_are_what_is_looked_at():
    with pytest.raises(
        ValueError, match=r"got 0 \(12 without foreground were left out\); look at the masks.*--mask-thr"
    ):
        calibrate_maps(MAPS, [torch.zeros(1, 4, 4)] * 12, 0.2)


@pytest.mark.parametrize("wrong", [MAPS, CollectedStatistic(BinnedStatistic()), None, "north.npz"])
def test_what_is_no_statistic_is_refused(wrong):
    with pytest.raises(
        TypeError, match=rf"statistic must be a Statistic, got {type(wrong).__name__}; .* calibrate_maps"
    ):
        calibrate(wrong, alpha=0.2)


RESULT = CalibrationResult((0.25,), 0.1, (99,), (1,), (0.0875,), "E[FNR] <= 0.1")


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("save", "right", "name"),
    [(save_calibration, CoverageStatistic(), "result"), (save_statistic, CoverageStatistic(), "collected")],
)
def test_what_cannot_be_saved_is_named(tmp_path, save, right, name, swapped):
    arguments = (right, tmp_path / "file")
    with pytest.raises(TypeError, match=rf"{name} must be a C\w+, got \w+; .* the path after it"):
        save(*(arguments[::-1] if swapped else arguments))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [FalsePositiveRatio, "false_positive_ratio", None], ids=repr)
def test_a_risk_is_an_object(wrong):
    with pytest.raises(TypeError, match=r"risk must be a Risk such as FalseNegativeRate\(\), got .*; make one"):
        ExpectedRisk(wrong, 0.1)


@pytest.mark.parametrize("wrong", ["0.1", torch.tensor(0.1), None, True], ids=repr)
def test_a_level_of_another_kind_is_shown(wrong):
    with pytest.raises(
        TypeError, match=r"got (str '0\.1'|Tensor tensor\(0\.1.*|NoneType None|bool True); give 0\.1 for 10 %"
    ):
        ExpectedRisk(alpha=wrong)
