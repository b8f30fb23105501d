# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A bundle trained, calibrated and evaluated on small generated images, once for all tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from monai_coat.cli import step_configs
from monai_coat.data import write_synthetic_dataset

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "polyp_coat"
HIPPOCAMPUS = BUNDLE.parent / "hippocampus_coat"
METHODS = ("crc", "at", "coat", "meg")


@dataclass(frozen=True)
class BundleRun:
    """A folder of data and results, and the means to run a step of the bundle in it."""

    folder: Path
    bundle: Path = BUNDLE

    def overrides(self, **more: object) -> dict[str, object]:
        """Settings that make every step small."""
        small = {
            "bundle_root": str(self.bundle),
            "dataset_dir": str(self.folder / "data"),
            "model_dir": str(self.folder / "models"),
            "output_dir": str(self.folder / "output"),
            "domain": "synthetic",
            "sources": [],
            "image_size": [64, 64],
            "alpha": 0.2,
        }
        return {**small, **more}

    def workflow(self, step: str, **more: object) -> ConfigWorkflow:
        """One step as MONAI's own workflow."""
        kind = "train" if step in ("segmenter", "train") else "infer"
        settings = self.overrides(**({"max_epochs": 2, "val_interval": 2} if kind == "train" else {}) | more)
        return ConfigWorkflow(
            config_file=[str(file) for file in step_configs(self.bundle, step)],
            meta_file=str(self.bundle / "configs" / "metadata.json"),
            logging_file=False,
            workflow_type=kind,
            **settings,
        )

    def run(self, step: str, **more: object) -> ConfigWorkflow:
        """Run one step from start to end."""
        workflow = self.workflow(step, **more)
        workflow.initialize()
        workflow.run()
        workflow.finalize()
        return workflow


@pytest.fixture(scope="session")
def data_run(tmp_path_factory: pytest.TempPathFactory) -> BundleRun:
    """Generated images, and nothing trained."""
    folder = tmp_path_factory.mktemp("bundle")
    write_synthetic_dataset(folder / "data", count=80, spatial_size=(48, 40), seed=1)
    return BundleRun(folder)


@pytest.fixture(scope="session")
def calibrated_run(data_run: BundleRun) -> BundleRun:
    """Everything up to the calibrations of CRC, AT and COAT."""
    data_run.run("segmenter")
    for method in ("at", "coat"):
        data_run.run("train", method=method)
    for method in ("crc", "at", "coat"):
        data_run.run("calibrate", method=method)
    return data_run


class VolumeRun(BundleRun):
    """Small generated volumes of two classes."""

    def overrides(self, **more: object) -> dict[str, object]:
        small = {"image_size": [24, 24, 16], "roi_size": [16, 16, 16], "certain_alpha": 0.2}
        return super().overrides(**(small | more))


@pytest.fixture(scope="session")
def volume_run(tmp_path_factory: pytest.TempPathFactory) -> VolumeRun:
    """Everything up to the calibrations of all methods."""
    folder = tmp_path_factory.mktemp("volumes")
    write_synthetic_dataset(folder / "data", count=60, spatial_size=(20, 24, 16), seed=1, classes=2)
    run = VolumeRun(folder, HIPPOCAMPUS)
    run.run("segmenter")
    for method in ("at", "coat"):
        run.run("train", method=method)
    run.run("fit")
    for method in METHODS:
        run.run("calibrate", method=method)
    return run
