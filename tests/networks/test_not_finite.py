# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scores that are not finite are refused on every way out or, where nothing can be refused, inside."""

from __future__ import annotations

import io

import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from torch import nn

from monai_coat.calibration import CalibrationResult, CollectedStatistic, CoverageStatistic, calibrate_maps
from monai_coat.handlers import ConformalCalibration
from monai_coat.networks import AdaptiveSegmenter, CalibratedMask
from monai_coat.transforms import CertaintyMap, CertaintyMapd, ConformalMask, ConformalMaskd

VALUES = [torch.nan, torch.inf, -torch.inf]
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
POSSIBLE = CalibrationResult((0.25,), 0.1, (99,), (0,), (0.09,), "E[FNR] <= 0.1")
CERTAIN = CalibrationResult((0.75,), 0.1, (99,), (0,), (0.09,), "", controls="false_positive_ratio")


def network():
    identity = AdaptiveSegmenter(nn.Identity(), activation="identity")
    identity.set_calibration((0.25,), alpha=0.1, n=(9,))
    return identity


def scores(value, dtype=torch.float32):
    """A batch of four, of which the third has one bad value, in the background."""
    batch = torch.linspace(0.1, 0.9, 4 * 16).reshape(4, 1, 4, 4).to(dtype)
    batch[2, 0, 1, 3] = value
    return batch


LABELS = torch.zeros(4, 1, 4, 4)
LABELS[:, :, 2:] = 1


def run(handler, batch):
    engine = Engine(lambda engine, batch: batch)
    handler.attach(engine)
    engine.run([(batch, LABELS)])


OUT = {
    "prediction_set": lambda s: network().prediction_set(s),
    "cut": lambda s: network().cut(s),
    "ConformalMask": lambda s: ConformalMask(POSSIBLE)(s[2]),
    "ConformalMask of MetaTensor": lambda s: ConformalMask(POSSIBLE)(MetaTensor(s[2])),
    "ConformalMask of NumPy": lambda s: ConformalMask(POSSIBLE)(s[2].float().numpy()),
    "ConformalMaskd": lambda s: ConformalMaskd("pred", POSSIBLE)({"pred": s[2]}),
    "CertaintyMap": lambda s: CertaintyMap(POSSIBLE, CERTAIN)(s[2]),
    "CertaintyMapd": lambda s: CertaintyMapd("pred", POSSIBLE, CERTAIN)({"pred": s[2]}),
    "calibrate_maps": lambda s: calibrate_maps(list(s), list(LABELS), 0.5),
    "statistic": lambda s: CoverageStatistic().update(s, LABELS),
    "collected statistic": lambda s: CollectedStatistic(CoverageStatistic()).update(s, LABELS),
    "ConformalCalibration": lambda s: run(ConformalCalibration(alpha=0.5), s),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("way", OUT)
def test_it_is_refused(way, value, dtype):
    with pytest.raises(ValueError, match=r"must be finite|finite|NaN"):
        OUT[way](scores(value, dtype))
    OUT[way](scores(0.5, dtype))


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("form", ["module", "TorchScript", "exported program"])
def test_in_an_exported_file_it_is_inside(form, value):
    mask = CalibratedMask(network())
    if form == "TorchScript":
        file = io.BytesIO()
        torch.jit.save(torch.jit.script(mask), file)
        file.seek(0)
        mask = torch.jit.load(file)
    elif form == "exported program":
        mask = torch.export.export(mask, (scores(0.5),)).module()
    inside = mask(scores(value))
    assert inside[2, 0, 1, 3] == 1
    others = torch.ones_like(inside, dtype=torch.bool)
    others[2, 0, 1, 3] = False
    assert torch.equal(inside[others], network().prediction_set(scores(0.5)).to(torch.uint8)[others])
