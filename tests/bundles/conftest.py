# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A bundle trained, calibrated and evaluated on small generated images, once for all tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
from monai.bundle import ConfigWorkflow

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
        """One step as MONAI's own workflow, from the config that the bundle documents."""
        kind = "train" if step in ("train", "train_thresholds") else "infer"
        settings = self.overrides(**({"max_epochs": 2, "val_interval": 2} if kind == "train" else {}) | more)
        return ConfigWorkflow(
            config_file=str(self.bundle / "configs" / f"{step}.json"),
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
    data_run.run("train")
    for method in ("at", "coat"):
        data_run.run("train_thresholds", method=method)
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
    run.run("train")
    for method in ("at", "coat"):
        run.run("train_thresholds", method=method)
    run.run("fit")
    for method in METHODS:
        run.run("calibrate", method=method)
    return run


class TwoClassRun(VolumeRun):
    """Volumes of two classes that a tiny segmenter cannot tell apart well, with one threshold for all."""

    def overrides(self, **more: object) -> dict[str, object]:
        tiny = {"segmenter#channels": [4, 8], "segmenter#strides": [2], "learning_rate": 0.02, "method": "crc"}
        data = {"datalist": f"$monai_coat.data.folder_datalist('{self.folder}/images', '{self.folder}/labels')"}
        return super().overrides(**(tiny | data | more))

    def truth(self, values: np.ndarray) -> np.ndarray:
        """Masks ``(2, *spatial)`` of a label map of the data."""
        return np.stack([values == 1, values == 2])

    @classmethod
    def calibrated(cls, folder: Path, inner: slice, gain: tuple[float, float]) -> TwoClassRun:
        """Two bars in each volume, along the second axis, made, trained and calibrated.

        Args:
            folder: where to.
            inner: where the second class is within the first one's bar of ten, or beyond it.
            gain: brightness of the classes.
        """
        rng = np.random.default_rng(0)
        for kind in ("images", "labels"):
            (folder / kind).mkdir(parents=True)
        for number in range(40):
            label = np.zeros((16, 24, 16), np.uint8)
            x, y, z = rng.integers(1, 9, 3)
            bar = label[x : x + 6, :, z : z + 6]
            bar[:, y : y + 10] = 1
            bar[:, y + inner.start : y + inner.stop] = 2
            image = rng.normal(0, 0.6, label.shape) + np.take([0, *gain], label)
            for kind, array in (("images", image.astype(np.float32)), ("labels", label)):
                nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), folder / kind / f"bar_{number:02}.nii.gz")
        run = cls(folder, HIPPOCAMPUS)
        run.run("train", max_epochs=4, val_interval=4)
        run.run("calibrate")
        return run


class NestedRun(TwoClassRun):
    """The second class is a part of the first one."""

    def overrides(self, **more: object) -> dict[str, object]:
        masks = "$lambda label: torch.cat([label > 0, label == 2]).float()"
        labels = [
            {"_target_": "LoadImaged", "keys": "label", "ensure_channel_first": True},
            {"_target_": "Lambdad", "keys": "label", "func": masks},
        ]
        return super().overrides(**({"label_transforms": labels, "overlapping": True} | more))

    def truth(self, values: np.ndarray) -> np.ndarray:
        return np.stack([values > 0, values == 2])


@pytest.fixture(scope="session")
def touching_run(tmp_path_factory: pytest.TempPathFactory) -> TwoClassRun:
    """Two bars, end to end, of one brightness."""
    return TwoClassRun.calibrated(tmp_path_factory.mktemp("touching"), slice(5, 10), (1.0, 1.2))


@pytest.fixture(scope="session")
def nested_run(tmp_path_factory: pytest.TempPathFactory) -> TwoClassRun:
    """A bar, and a brighter one in its middle."""
    return NestedRun.calibrated(tmp_path_factory.mktemp("nested"), slice(3, 7), (1.0, 2.0))
