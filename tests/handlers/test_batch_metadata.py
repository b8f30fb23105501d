# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Metadata of a batch: found where MONAI's loaders leave them, and refused where they are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch

from monai_coat.calibration import ExpectedRisk, FalseNegativeRate, PerGroup, PerPatient, SizeStrata, calibrate_maps
from monai_coat.handlers import ConformalCalibration
from monai_coat.handlers.batch_metadata import batch_metadata

FNR = ExpectedRisk(FalseNegativeRate(), 0.25)


def images(count):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 1, 6, 6, generator=generator), torch.rand(count, 1, 6, 6, generator=generator) < 0.5


def test_nothing_is_looked_for_where_nothing_is_asked():
    assert batch_metadata("anything", []) is None


def test_of_a_collated_batch_of_a_list_and_of_the_metadata_of_tensors():
    rows = [
        {"image": MetaTensor(torch.zeros(1, 2), meta={"device": f"d{i}"}), "site": "ab"[i], "dose": i} for i in (0, 1)
    ]
    (batch,) = DataLoader(Dataset(rows), batch_size=2)
    for given in (batch, decollate_batch(batch), rows):
        assert batch_metadata(given, ["site", "device"]) == [
            {"site": "a", "device": "d0"},
            {"site": "b", "device": "d1"},
        ]
        assert [int(row["dose"]) for row in batch_metadata(given, ["dose"])] == [0, 1]


@pytest.mark.parametrize("batch", [{"image": torch.zeros(2, 1, 3)}, (torch.zeros(1), torch.zeros(1)), [{"image": 0}]])
def test_an_entry_that_is_not_there_is_refused(batch):
    with pytest.raises(ValueError, match=r"batch must say 'site' of every image, got .*; add it to the data list"):
        batch_metadata(batch, ["site"])


@pytest.mark.parametrize(
    "guarantee", [PerGroup(FNR, "site"), PerPatient(FNR, "site"), PerGroup(FNR, SizeStrata((0.5,)))]
)
@pytest.mark.parametrize("listed", [False, True])
def test_the_handler_calibrates_as_a_call_on_all_maps_does(guarantee, listed):
    scores, labels = images(24)
    sites = ["north", "south", "east"] * 8
    expected = calibrate_maps(list(scores), list(labels), guarantee=guarantee, meta=[{"site": name} for name in sites])

    def step(engine, batch):
        pair = batch["score"], batch["label"]
        return tuple(map(list, pair)) if listed else pair

    engine = Engine(step)
    ConformalCalibration(guarantee=guarantee).attach(engine)
    parts = [slice(0, 7), slice(7, 8), slice(8, 24)]
    result = engine.run(
        [{"score": scores[part], "label": labels[part], "site": list(np.array(sites)[part])} for part in parts]
    ).calibration
    assert result == expected


def test_the_network_takes_the_cutoff_that_keeps_the_promise_of_every_group():
    scores, labels = images(24)
    result = calibrate_maps(
        list(scores), list(labels), guarantee=PerGroup(FNR, "site"), meta=[{"site": "ab"[i % 2]} for i in range(24)]
    )
    assert result.cutoff[0] == min(group.cutoff[0] for group in result.groups.values())


@pytest.mark.parametrize("left_out", [slice(1, None), slice(0, 7)])
def test_an_output_without_some_images_of_the_batch_is_refused(left_out):
    scores, labels = images(8)
    engine = Engine(lambda engine, batch: (batch["score"][left_out], batch["label"][left_out]))
    ConformalCalibration(guarantee=PerGroup(FNR, "site")).attach(engine)
    with pytest.raises(ValueError, match="must have all images of the batch, got 7 of 8: which image has which site"):
        engine.run([{"score": scores, "label": labels, "site": ["a", "b"] * 4}])
