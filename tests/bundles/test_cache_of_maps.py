# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Maps that the steps which learn thresholds keep are used again only by what would make the same ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from monai_coat.data import write_synthetic_dataset
from monai_coat.networks import save_weights
from tests.bundles.conftest import BUNDLE, HIPPOCAMPUS, BundleRun, VolumeRun

RANGE = "preprocessing#transforms#1#a_max"
FLAT = [{}, {RANGE: 60}, {"image_size": [32, 32]}, {"label_transforms#0#threshold": 0.3}]
VOLUMES = [{}, {"roi_size": [24, 24, 16]}, {"window#overlap": 0.25}, {"window#mode": "constant"}, {"classes": [2, 1]}]
VOLUMES += [{"preprocessing#transforms#2#pixdim": [1, 1, 2]}, {"resampled_label#1#pixdim": [1, 1, 2]}]
SAME = {"device": "$torch.device('cpu', 0)", "window#sw_batch_size": 1}
METHOD = {"fit": "meg", "train_thresholds": "coat"}
steps = pytest.mark.parametrize("step", METHOD)


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> BundleRun:
    folder = tmp_path_factory.mktemp("flat")
    write_synthetic_dataset(folder / "data", count=40, spatial_size=(24, 20), seed=1)
    return untrained(BundleRun(folder, BUNDLE))


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> BundleRun:
    folder = tmp_path_factory.mktemp("volumes")
    write_synthetic_dataset(folder / "data", count=20, spatial_size=(20, 24, 16), seed=1, classes=2)
    return untrained(VolumeRun(folder, HIPPOCAMPUS))


def untrained(run: BundleRun) -> BundleRun:
    """The run with a segmenter that was never trained."""
    torch.manual_seed(0)
    segmenter = run.workflow("train").parser.get_parsed_content("segmenter")
    save_weights(segmenter, run.folder / "models" / "segmenter.pt")
    return run


def key(run: BundleRun, step: str, **settings: object) -> tuple[str, str]:
    """Where a step keeps its maps: the folder, and what their names end in."""
    workflow = run.workflow(step, method=METHOD[step], **settings)
    workflow.initialize()
    dataset = workflow.parser.get_parsed_content("fit::dataset" if step == "fit" else "train::dataset")
    return str(dataset.cache_dir), dataset.transform_hash


@steps
def test_images(flat: BundleRun, step: str):
    keys = [key(flat, step, **settings) for settings in [*FLAT, {"logit_temperature": 3}]]
    assert len(set(keys)) == (len(FLAT) if step == "fit" else len(FLAT) + 1)  # MEG has maps without temperature
    assert key(flat, step, batch_size=3) == keys[0]


@steps
def test_volumes(volumes: BundleRun, step: str):
    keys = [key(volumes, step, **settings) for settings in VOLUMES]
    assert len(set(keys)) == len(VOLUMES)
    assert key(volumes, step, **SAME) == keys[0]


@pytest.mark.bundle
def test_training_does_not_go_on_with_the_maps_of_another_window(volumes: BundleRun, tmp_path: Path):
    volumes.run("train_thresholds", output_dir=str(tmp_path))
    with pytest.raises(RuntimeError) as caught:
        volumes.run("train_thresholds", output_dir=str(tmp_path), roi_size=[24, 24, 16])
    assert "transforms" in f"{caught.value} {caught.value.__cause__}"
