# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The comparison of calibrated networks: files of any name, and tiles of the right images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.handlers import from_engine
from monai.transforms import Compose, LoadImaged, ScaleIntensityRanged
from PIL import Image
from torch import nn

from monai_coat.data import folder_datalist
from monai_coat.handlers import ImageRecords
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.report import compare, load_records
from monai_coat.report.compare import _panels, run_all

NAMES = [f"case.{i}" for i in range(4)] + ["1.2.840.1", "1.2.840.2"]


@pytest.fixture
def samples(tmp_path):
    """Images whose left half is foreground, each as bright as its number says."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for number, name in enumerate(NAMES):
        mask = np.zeros((12, 12), np.uint8)
        mask[:, :6] = 255
        Image.fromarray(np.minimum(mask, 100 + 20 * number)).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / "labels" / f"{name}.png")
    return folder_datalist(tmp_path / "images", tmp_path / "labels")


@pytest.fixture
def evaluator(samples):
    keys = ["image", "label"]
    transforms = [LoadImaged(keys, ensure_channel_first=True), ScaleIntensityRanged(keys, 0, 255, 0, 1)]
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(samples, Compose(transforms)), batch_size=2),
        network=nn.Identity(),
        val_handlers=[ImageRecords(from_engine(["pred", "label"]), keep_masks=True)],
    )


def networks():
    methods = {}
    for name, cutoff in (("crc", 0.6), ("wide", 0.45)):
        network = AdaptiveSegmenter(nn.Identity(), activation="identity")
        network.set_calibration((cutoff,), alpha=0.1, n=(99,))
        methods[name] = network
    return methods


def test_names_with_dots_are_kept_through_records_tables_and_tiles(evaluator, tmp_path):
    rows = compare(evaluator, networks(), 0.1, tmp_path / "out", statement="Said below.")
    assert [row.method for row in rows] == ["crc", "wide", "predict-all"]
    assert [record.name for record in load_records(tmp_path / "out" / "records_crc.csv")] == sorted(NAMES)
    assert (tmp_path / "out" / "table.md").read_text().endswith("Said below.\n")
    with Image.open(tmp_path / "out" / "page.png") as page:
        page.load()


def test_every_tile_shows_the_image_of_its_name(evaluator, samples):
    evaluated = run_all(evaluator, networks())
    records, masks = evaluated.records, evaluated.masks
    brightest = {name: (100 + 20 * number) / 255 for number, name in enumerate(NAMES)}
    panels = _panels(records, masks, samples)
    assert panels
    for panel in panels:
        (name,) = [name for name in NAMES if name in panel.title]
        assert panel.image.max() == pytest.approx(brightest[name], abs=1e-6), panel.title
        assert panel.label[:, :6].all()
        assert not panel.label[:, 6:].any()


def test_no_tile_shows_the_image_of_another_folder(evaluator, samples, tmp_path):
    """Records are named by the label's file alone: of two with one name, none is shown rather than the wrong one."""
    (tmp_path / "other").mkdir()
    twice = [{**samples[0], "image": str(tmp_path / "other" / Path(samples[0]["image"]).name)}]
    evaluated = run_all(evaluator, networks())
    panels = _panels(evaluated.records, evaluated.masks, [*samples, *twice])
    assert panels
    assert not any(str(samples[0]["id"]) in panel.title for panel in panels)
